"""What this client costs, compared with its peers: ``python -m tests.benchmarks``, or ``make bench``.

Machines differ, so compare only ratios to the floor within one round of one run. No test passes or fails on time.
"""
