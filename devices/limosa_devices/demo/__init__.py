"""The demo: real motion, real processes, good and bad releases."""
