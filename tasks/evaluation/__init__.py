"""Evaluation: metrics, paired tests, drift and comparisons."""
