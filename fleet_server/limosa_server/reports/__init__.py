"""What devices send up (server 3.3)."""
