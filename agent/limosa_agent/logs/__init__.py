"""The agent's own log: JSON lines in a few files of bounded size, and plain text for whoever started it."""
