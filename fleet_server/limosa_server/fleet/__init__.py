"""Devices and groups (rollouts 3.6, trust 6.1)."""
