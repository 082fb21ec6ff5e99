"""What this client costs, beside its peers: ``python -m tests.benchmarks``, or ``make bench``.

Machines differ, so what counts are ratios to a floor within one round of one run. Nothing here passes or fails on time.
"""
