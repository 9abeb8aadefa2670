"""Alembic's folder; `limosa_server.store.migrate` runs it."""
