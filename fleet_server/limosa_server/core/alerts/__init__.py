"""Alerts: which findings become one, when it fires, who is told, when it is over (telemetry 6.3). Pure."""
