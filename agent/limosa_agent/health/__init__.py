"""Whether what serves is healthy (agent 4)."""
