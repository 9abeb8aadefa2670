"""Which candidate a target gets, and what is promised of it (compiler 2.7)."""
