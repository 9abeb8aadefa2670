"""Fetching and trusting releases: a short-lived child does it, the supervisor only switches slots."""
