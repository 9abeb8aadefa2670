"""Candidates: which are tried for a target, made, and searched for (compiler 2.4, 2.5)."""
