"""The broker that the server starts, and the messages over it (server 3, 4)."""
