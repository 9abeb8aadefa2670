"""Device profiles as TOML files, found through the entry-point group `limosa.profiles`."""
