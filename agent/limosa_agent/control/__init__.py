"""What the running agent answers on its control socket, one operation per file (agent 6.3)."""
