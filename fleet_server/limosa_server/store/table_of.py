"""The table behind a model, for statements that make no object of each row (server 2.3)."""

from __future__ import annotations

from sqlalchemy import Table
from sqlmodel import SQLModel


def table_of(model: type[SQLModel]) -> Table:
    """Of a model that is a table: `class … (SQLModel, table=True)`."""
    found: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    return found
