"""Blobs, releases and deltas (server 5)."""
