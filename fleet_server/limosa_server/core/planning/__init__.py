"""What a rollout would do, before it does it (rollouts 4)."""
