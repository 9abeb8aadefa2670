"""Tests of Limosa; each folder mirrors a party."""
