"""Devices, groups, releases, rollouts and telemetry of a fleet."""
