"""Stages, promotion gates, and what may be thrown away (server 2.2, 5). Pure."""
