"""Run by Alembic: upgrades over the connection it is given."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import limosa_server.tables  # noqa: F401  # fills the metadata that autogenerate compares with

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite changes columns by copying the table
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
