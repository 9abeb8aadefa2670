"""What is durable on this device besides the slots (agent 3)."""
