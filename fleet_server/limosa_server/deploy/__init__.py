"""What a machine in production is set up with: configurations, backups, checks (architecture 5)."""
