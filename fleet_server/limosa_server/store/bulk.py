"""Many rows with one statement, as fast as each database takes them: what thousands of reports a second
need (server 2.3).

upsert = Upsert.of(tx, InboxMark, ("device", "session", "mark"), key=("device", "session"), newer="mark")
changed = upsert.put(tx, [("dev-1", 7, 12), …])      # no key twice
Update.of(tx, DesiredDocument, ("device", "counter"), key=("device",)).put(tx, [("dev-1", 9), …])

SQLite gets its driver's own `executemany`; PostgreSQL gets a list for each column, which is one statement to
plan and one answer to wait for (`packed.py`). Values go as the driver takes them: JSON as text, not as
objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self

from sqlalchemy import Dialect, String, bindparam, cast, literal, literal_column, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import Compiled, SQLCompiler
from sqlmodel import SQLModel

from limosa_server.store.packed import packed
from limosa_server.store.table_of import table_of
from limosa_server.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class _Bulk:
    """A statement that is made once, for rows of one shape."""

    statement: Any  # of PostgreSQL
    sql: str  # of SQLite
    columns: tuple[str, ...]
    order: tuple[int, ...]  # of the columns in `sql`
    kinds: tuple[str, ...]  # of the columns, as PostgreSQL's dialect names them

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


@dataclass(frozen=True, slots=True)
class Upsert(_Bulk):
    """INSERT … ON CONFLICT (key) DO UPDATE of every other column, where `newer` is greater than it was."""

    @classmethod
    def of(
        cls, tx: Transaction, table: type[SQLModel], columns: tuple[str, ...], *, key: tuple[str, ...],
        newer: str = "", kept: tuple[str, ...] = (),
    ) -> Self:  # fmt: skip
        """`columns`: all but those that the database itself fills. `newer` "": the last word holds. `kept`:
        those that stay as they were first written."""
        return cls._of(tx.get_bind().dialect, table, columns, key, newer, kept)

    @classmethod
    @lru_cache(maxsize=64)
    def _of(
        cls, dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...], key: tuple[str, ...],
        newer: str, kept: tuple[str, ...],
    ) -> Self:  # fmt: skip
        changing = [name for name in columns if name not in key and name not in kept]
        target = table_of(table)
        if dialect.name == "postgresql":
            kinds = _kinds(target, columns, dialect)
            statement = postgresql.insert(target).from_select(columns, _rows(columns, kinds))
            return cls(_on_conflict(statement, target, key, newer, changing), "", columns, (), kinds)
        plain = _on_conflict(sqlite.insert(target), target, key, newer, changing)
        sql, order = _text(plain.compile(dialect=dialect, column_keys=columns), columns)
        return cls(None, sql, columns, order, ())


@dataclass(frozen=True, slots=True)
class Insert(_Bulk):
    """INSERT, in the order of the rows."""

    @classmethod
    def of(
        cls, tx: Transaction, table: type[SQLModel], columns: tuple[str, ...],
        same: Mapping[str, Any] | None = None,
    ) -> Self:  # fmt: skip
        """`columns`: all but those that the database itself fills. `same`: those that all rows have alike;
        they are said once, not with each of a hundred thousand rows."""
        dialect = tx.get_bind().dialect
        return cls._with(dialect, table, columns, same) if same else cls._of(dialect, table, columns)

    @classmethod
    @lru_cache(maxsize=64)
    def _of(cls, dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...]) -> Self:
        return cls._with(dialect, table, columns, {})

    @classmethod
    def _with(
        cls, dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...], same: Mapping[str, Any]
    ) -> Self:
        target = table_of(table)
        alike = {name: _said_once(target.c[name], value, dialect) for name, value in same.items()}
        if dialect.name == "postgresql":
            kinds = _kinds(target, columns, dialect)
            rows = _rows(columns, kinds).add_columns(*alike.values())
            statement = postgresql.insert(target).from_select((*columns, *alike), rows)
            return cls(statement.execution_options(preserve_rowcount=True), "", columns, (), kinds)
        plain = sqlite.insert(target).values(alike).inline() if alike else sqlite.insert(target)
        sql, order = _text(plain.compile(dialect=dialect, column_keys=columns), columns)
        return cls(None, sql, columns, order, ())


@dataclass(frozen=True, slots=True)
class Update(_Bulk):
    """UPDATE of every other column where the key is the row's."""

    @classmethod
    def of(
        cls, tx: Transaction, table: type[SQLModel], columns: tuple[str, ...], *, key: tuple[str, ...]
    ) -> Self:
        return cls._of(tx.get_bind().dialect, table, columns, key)

    @classmethod
    @lru_cache(maxsize=64)
    def _of(
        cls, dialect: Dialect, table: type[SQLModel], columns: tuple[str, ...], key: tuple[str, ...]
    ) -> Self:
        target = table_of(table)
        changing = [name for name in columns if name not in key]
        if dialect.name == "postgresql":
            kinds = _kinds(target, columns, dialect)
            sets = ", ".join(f"{name} = came.{name}" for name in changing)
            same = " AND ".join(f"{target.name}.{name} = came.{name}" for name in key)
            sql = f"UPDATE {target.name} SET {sets} FROM {_came(columns, kinds)} WHERE {same}"  # noqa: S608  # names of ours
            return cls(text(sql).execution_options(preserve_rowcount=True), "", columns, (), kinds)
        plain = update(target).where(*(target.c[name] == bindparam(f"of_{name}") for name in key))
        named = tuple(f"of_{name}" if name in key else name for name in columns)
        sql, order = _text(plain.compile(dialect=dialect, column_keys=changing), named)
        return cls(None, sql, columns, order, ())


def as_text(value: Any) -> str:
    """A value of a JSON column, as both databases take it."""
    return "{}" if value == {} else json.dumps(value)


def _said_once(column: Any, value: Any, dialect: Dialect) -> Any:
    """A value as a part of the statement. JSON comes as text here, as in rows."""
    given = literal(value, String() if isinstance(value, str) else column.type)
    if dialect.name == "postgresql":
        return cast(given, column.type)
    # SQLite's driver binds a row's values and no others.
    return literal_column(str(given.compile(dialect=dialect, compile_kwargs={"literal_binds": True})))


def _kinds(target: Any, columns: Sequence[str], dialect: Dialect) -> tuple[str, ...]:
    return tuple(target.c[name].type.compile(dialect) for name in columns)


def _came(columns: Sequence[str], kinds: Sequence[str]) -> str:
    lists = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in zip(columns, kinds, strict=True))
    return f"unnest({lists}) AS came({', '.join(columns)})"


def _rows(columns: Sequence[str], kinds: Sequence[str]) -> Any:
    came = text(_came(columns, kinds))
    return select(*(literal_column(f"came.{name}") for name in columns)).select_from(came)


def _text(compiled: Compiled, columns: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """SQLite's statement, and which column each of its places takes."""
    assert isinstance(compiled, SQLCompiler)
    return compiled.string, tuple(columns.index(name) for name in compiled.positiontup or ())


def _on_conflict(
    statement: Any, target: Any, key: tuple[str, ...], newer: str, changing: Sequence[str]
) -> Any:
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: statement.excluded[name] for name in changing},
        where=target.c[newer] < statement.excluded[newer] if newer else None,
    ).execution_options(preserve_rowcount=True)
