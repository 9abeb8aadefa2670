"""One device: updates, slots, inference, health, telemetry."""
