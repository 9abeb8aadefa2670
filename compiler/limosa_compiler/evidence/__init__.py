"""What a build knows and says of itself, outside the artifact's digest (compiler 2.9)."""
