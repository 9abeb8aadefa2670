"""Releases on a stick, for devices without a network (trust 3.5)."""
