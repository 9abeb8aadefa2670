"""Verdicts on waves, from numbers (rollouts 5)."""
