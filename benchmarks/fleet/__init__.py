"""Servers and fleets that benchmarks run."""
