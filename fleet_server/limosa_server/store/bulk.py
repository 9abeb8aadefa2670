"""Many rows with one statement, as fast as each database takes them: what thousands of reports a second
need (server 2.3).

upsert = Upsert.of(tx, InboxMark, ("device", "session", "mark"), key=("device", "session"), newer="mark")
changed = upsert.put(tx, [("dev-1", 7, 12), …])      # no key twice

SQLite gets its driver's own `executemany`; PostgreSQL gets a list for each column, which is one statement to
plan and one answer to wait for (`packed.py`). Values go as the driver takes them: JSON as
text, not as objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self

from sqlalchemy import Dialect, literal_column, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from limosa_server.store.packed import packed
from limosa_server.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Upsert:
    """INSERT … ON CONFLICT (key) DO UPDATE of every other column, where `newer` is greater than it was."""

    statement: Any  # of PostgreSQL
    sql: str  # of SQLite
    columns: tuple[str, ...]
    order: tuple[int, ...]  # of the columns in `sql`
    kinds: tuple[str, ...]  # of PostgreSQL's columns

    @classmethod
    def of(
        cls, tx: Transaction, table: type[SQLModel], columns: tuple[str, ...], *, key: tuple[str, ...],
        newer: str, kept: tuple[str, ...] = (),
    ) -> Self:  # fmt: skip
        """`columns`: all but those that the database itself fills. `kept`: those that stay as they were
        first written."""
        return cls._of(tx.get_bind().dialect, table, columns, key, newer, kept)

    @classmethod
    @lru_cache(maxsize=64)
    def _of(
        cls, dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...], key: tuple[str, ...],
        newer: str, kept: tuple[str, ...],
    ) -> Self:  # fmt: skip
        changing = [name for name in columns if name not in key and name not in kept]
        target: Any = table.__table__  # type: ignore[attr-defined]  # every table has one
        if dialect.name == "postgresql":
            kinds = tuple(target.c[name].type.compile(dialect) for name in columns)
            lists = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in zip(columns, kinds, strict=True))
            came = text(f"unnest({lists}) AS came({', '.join(columns)})")
            rows: Any = select(*(literal_column(f"came.{name}") for name in columns)).select_from(came)
            statement = postgresql.insert(target).from_select(columns, rows)
            return cls(_on_conflict(statement, target, key, newer, changing), "", columns, (), kinds)
        plain = _on_conflict(sqlite.insert(target), target, key, newer, changing)
        compiled = plain.compile(dialect=dialect, column_keys=columns)
        order = tuple(columns.index(name) for name in compiled.positiontup or ())
        return cls(None, compiled.string, columns, order, ())

    def put(self, tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many were inserted or changed. Of PostgreSQL, no two rows may have one key."""
        if not rows:
            return 0
        connection = tx.connection()
        if self.statement is None:
            return connection.exec_driver_sql(
                self.sql,
                list(map(itemgetter(*self.order), rows)),
                execution_options={"preserve_rowcount": True},
            ).rowcount
        lists = map(packed, self.kinds, zip(*rows, strict=True))
        return connection.execute(self.statement, dict(zip(self.columns, lists, strict=True))).rowcount


def _on_conflict(
    statement: Any, target: Any, key: tuple[str, ...], newer: str, changing: Sequence[str]
) -> Any:
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: statement.excluded[name] for name in changing},
        where=target.c[newer] < statement.excluded[newer],
    ).execution_options(preserve_rowcount=True)
