"""Models are run here, foreign ones in children with limits (trust 7.2)."""
