"""What the parties agree on: pure values, no I/O."""
