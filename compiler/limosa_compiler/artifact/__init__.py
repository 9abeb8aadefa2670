"""The archive: what is in it, how it is written, read and compared (compiler 6)."""
