"""Measure classifiers and features: accuracy, probes, cost."""
