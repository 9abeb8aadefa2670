"""What an operator asks for when a release goes to a fleet, one block a file (rollouts 4)."""
