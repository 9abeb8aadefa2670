"""What tests of several parties share."""
