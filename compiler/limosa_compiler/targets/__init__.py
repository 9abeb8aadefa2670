"""Device profiles: installed ones and one's own (compiler 5)."""
