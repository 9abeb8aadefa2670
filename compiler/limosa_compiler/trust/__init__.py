"""Keys, signatures, and what it takes to publish a release (trust 1, 2, 5)."""
