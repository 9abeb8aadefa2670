"""Thousands of devices in one process: real connections and signatures, no models (architecture 3.7)."""
