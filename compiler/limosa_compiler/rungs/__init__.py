"""The ladder's rungs, one way of making a candidate per file (compiler 2.4)."""
