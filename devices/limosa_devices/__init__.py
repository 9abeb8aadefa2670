"""Device profiles, the demo, and the files for real boards."""
