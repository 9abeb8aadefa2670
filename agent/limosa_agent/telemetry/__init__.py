"""What the device has seen, in windows (telemetry 3)."""
