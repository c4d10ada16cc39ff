"""Synthetic data sets: simulated dives, imported by commands and benchmarks alone."""
