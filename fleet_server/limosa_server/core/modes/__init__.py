"""Rollouts that do not simply replace: a shadow's agreement, arms and effects of a comparison."""
