"""Rollouts over what the database holds (rollouts 2 to 4)."""
