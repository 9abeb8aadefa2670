"""Who may do what, and what was done (trust 6.4, 6.5)."""
