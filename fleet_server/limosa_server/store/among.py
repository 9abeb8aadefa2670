"""Rows whose column is one of many names: one value to bind, however many they are.

select(InboxMark.mark).where(among(tx, col(InboxMark.device), devices))

An IN list is written out, and read again by SQLAlchemy, the driver and the database, name by name.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, bindparam, cast, func, select
from sqlalchemy.types import String, UserDefinedType

from limosa_server.store.packed import packed
from limosa_server.store.transaction import Transaction


class _Names(UserDefinedType[Any]):
    """PostgreSQL's TEXT[], of a value that is packed."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TEXT[]"


def among(tx: Transaction, column: Any, names: Collection[str]) -> ColumnElement[bool]:
    """`column IN names`. For text, and for as many names as memory holds."""
    if tx.get_bind().dialect.name == "postgresql":
        listed = bindparam(None, packed("TEXT", tuple(names)), type_=_Names(), unique=True)
        found: ColumnElement[bool] = column == func.any(cast(listed, _Names()))
        return found
    given = bindparam(None, json.dumps(list(names)), type_=String(), unique=True)
    every = func.json_each(given).table_valued("value")
    held: ColumnElement[bool] = column.in_(select(every.c.value))
    return held
