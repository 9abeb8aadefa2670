"""One server works with one database: two controllers would undo each other's decisions."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, LiteralString, TypeAlias

import psycopg

from limosa_server.errors import AlreadyRunning
from limosa_server.store.engine import make_engine, shown
from limosa_server.store.failures import usable
from limosa_server.store.postgresql import SERVER_LOCK

ANOTHER_DATABASE: Final = "stop it first, or name another database with --database"
_END: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
)
Session: TypeAlias = tuple[int, datetime]
"""A session at the database: its process, and since when; numbers of processes are given away again."""


class Claim:
    """Held by a connection of its own: the database lets go of it when this process, or its host, dies.

    It is taken before the schema is brought to the newest: the other server works with the one it knows.
    A SQLite file needs none: it lies in the data folder, which is locked as a whole.
    """

    def __init__(self, place: Path | str, *, busy_timeout_s: float = 15.0) -> None:
        self._engine = make_engine(place, busy_timeout_s=busy_timeout_s)
        self._connection: psycopg.Connection[Any] | None = None
        self._session: Session | None = None  # the last that held it here

    def hold(self) -> None:
        """Takes it, or sees that it still holds. After the connection broke it is taken again, also from a
        session of its own that the database does not know to be dead.

        Raises AlreadyRunning while another server holds it, DatabaseRefused, StoreBusy, StoreDown.
        """
        if self._engine.dialect.name != "postgresql" or self._still_holds():
            return
        self.release()
        with usable(self._engine):
            fresh = self._engine.raw_connection()
            connection = fresh.driver_connection
            fresh.detach()
            assert isinstance(connection, psycopg.Connection)
            try:
                taken = _take(connection, before=self._session)
                held_by = _session_of(connection)
            except psycopg.Error:
                connection.close()
                raise
        if not taken:
            connection.close()
            raise AlreadyRunning(
                "another server works with this database",
                where=shown(self._engine.url),
                hint=ANOTHER_DATABASE,
            )
        self._connection, self._session = connection, held_by

    def release(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _still_holds(self) -> bool:
        """The lock is the session's: while the session answers, it is held."""
        if self._connection is None:
            return False
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True


def _take(connection: psycopg.Connection[Any], *, before: Session | None) -> bool:
    """`before`: the session of ours that held it last, which may seem to be alive over there."""
    if _try(connection):
        return True
    if before is None:
        return False
    if not _one(connection, _END, before):
        return _try(connection)  # it may have ended since the first time
    connection.execute(f"SELECT pg_advisory_lock({SERVER_LOCK})")  # no longer than lock_timeout
    return True


def _try(connection: psycopg.Connection[Any]) -> bool:
    return bool(_one(connection, f"SELECT pg_try_advisory_lock({SERVER_LOCK})"))


def _session_of(connection: psycopg.Connection[Any]) -> Session:
    row = connection.execute(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _one(connection: psycopg.Connection[Any], statement: LiteralString, values: Session | None = None) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row is not None else None
