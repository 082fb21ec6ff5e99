"""A pytest plugin and cassette scrubbing for partners' tests."""
