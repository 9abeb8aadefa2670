"""Ranges of every activation, in memory that does not grow with the rows (compiler 2.3)."""
