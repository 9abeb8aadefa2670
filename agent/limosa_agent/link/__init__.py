"""The link to the fleet: MQTT, HTTPS, the outbox, the desired state (agent 6, trust 4)."""
