"""The PostgreSQL engine: the same types, order and turns as SQLite has.

Three things would differ, and are made the same here: an `int` column holds 63 bits; text sorts and
compares by code point whatever the database's locale; U+0000, which PostgreSQL's text cannot hold,
becomes U+FFFD, so that no device can send what cannot be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Column, Connection, Engine, create_engine, event, types
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, _PGBigInteger, _PGString
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from limosa_server.errors import DatabaseRefused
from limosa_server.store.transaction_kinds import kind_of

POOL_SIZE: Final = 16  # as with SQLite; PostgreSQL allows 100 connections in all by default
POOL_OVERFLOW: Final = 32
OLDEST: Final = 130_000  # version 13, as PostgreSQL counts
ENCODING: Final = "UTF8"
DEFAULTS: Final = {
    "connect_timeout": "10",  # s
    # A host that is gone says nothing: without these a question that was asked of it waits for two hours.
    "keepalives_idle": "10",  # s
    "keepalives_interval": "5",  # s
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",  # ms
    "application_name": "limosa",
}
"""Parameters of a connection, where the URL says nothing else."""
WATCHED: Final = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
"""The same at the database's end: of a server whose host is gone it lets go of the claim, and of locks."""
PLANNING: Final = "-c random_page_cost=1.1"
"""What a page costs that is not the next one, before the options of the URL. PostgreSQL's own 4 is a turning
disk's: for a thousand reports it would read all executions of a large fleet rather than look each one up."""
WRITER_LOCK: Final = 0x4C494D4F01
"""Advisory lock of the one who writes: writers take turns, also those of two processes."""
SERVER_LOCK: Final = 0x4C494D4F02
"""Advisory lock of the one server that works with a database, as long as it lives."""
BEGIN: Final = {
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # Said, not left to the database's default: a higher level would see the moment before its turn.
    "write": f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER_LOCK})",
}


class _WideInteger(_PGBigInteger):
    """Also for `Integer`: counters are milliseconds, session numbers have 63 bits."""

    render_bind_cast = False  # SQLAlchemy asks the catalogue with small ones, where this one's does not fit


class _Text(_PGString):
    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:
        return lambda text: text.replace("\0", "\ufffd") if text and "\0" in text else text


class _Types(PGTypeCompiler):
    def visit_INTEGER(self, type_: types.Integer, **kw: Any) -> str:  # noqa: N802  # SQLAlchemy's name
        return "BIGINT"

    def visit_VARCHAR(self, type_: types.String, **kw: Any) -> str:  # noqa: N802  # as above
        text: str = super().visit_VARCHAR(type_, **kw)
        # Only where a column is made: a cast may not have one.
        of_column = isinstance(kw.get("type_expression"), Column)
        return f'{text} COLLATE "C"' if of_column and not type_.collation else text


_COLUMN_TYPES: Final[dict[type[types.TypeEngine[Any]], type[types.TypeEngine[Any]]]] = {
    types.Integer: _WideInteger,
    types.BigInteger: _WideInteger,
    types.String: _Text,
}


class LimosaDialect(PGDialect_psycopg):
    supports_statement_cache = True
    type_compiler_cls = _Types
    colspecs = PGDialect_psycopg.colspecs | _COLUMN_TYPES


registry.register("postgresql.limosa", __name__, "LimosaDialect")


def make_engine(url: URL, *, busy_timeout_s: float) -> Engine:
    engine = create_engine(
        url.set(drivername="postgresql+limosa"),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_pre_ping=True,  # after a restart of the database only what was under way fails
        connect_args={
            **{name: value for name, value in DEFAULTS.items() if name not in url.query},
            "autocommit": True,  # transactions begin with the statement below, not with the driver's
            "client_encoding": ENCODING,  # whatever the environment says
            "options": _options(url, busy_timeout_s=busy_timeout_s),
        },
    )

    @event.listens_for(engine, "connect")
    def look(connection: psycopg.Connection[Any], _: ConnectionPoolEntry) -> None:
        try:
            _check_usable(connection, url)
        except DatabaseRefused:
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(BEGIN[kind_of(connection)], prepare=False)

    return engine


def _options(url: URL, *, busy_timeout_s: float) -> str:
    """What must hold comes after the URL's: the last of a name counts."""
    own = url.query.get("options", "")
    given = own if isinstance(own, str) else " ".join(own)
    # Floats as they are: a role may have been told to round them.
    ours = f"-c lock_timeout={int(busy_timeout_s * 1000)} -c timezone=UTC -c extra_float_digits=1"
    return f"{PLANNING} {WATCHED} {given} {ours}"


def _check_usable(connection: psycopg.Connection[Any], url: URL) -> None:
    """Raises DatabaseRefused for what would store something else than what came."""
    where = str(url.database)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise DatabaseRefused(
            "the database does not hold every character",
            where=where,
            why=f"its encoding is {encoding}",
            hint=f"createdb --encoding UTF8 --template template0 {where}: another one, in UTF-8",
        )
    version = connection.info.server_version
    if version < OLDEST:
        raise DatabaseRefused(
            "PostgreSQL is too old", where=where, why=f"it is {version // 10_000}", hint="take 13 or newer"
        )
