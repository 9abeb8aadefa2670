"""`limosa-agent doctor`: what a device needs to work, looked at one by one (agent 6.3)."""
