"""The agent as a service of its device: systemd's units, its watchdog, and the way out again (agent 7)."""
