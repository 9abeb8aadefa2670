"""Metric, size, time and memory of a candidate (compiler 2.6)."""
