"""Alerts: where findings come from, what is written down, and how webhooks are told (telemetry 6.3)."""
