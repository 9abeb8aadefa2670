"""Keys, certificates and signed metadata, as the server holds them (trust)."""
