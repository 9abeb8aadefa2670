"""One file per schema revision, each frozen once released."""
