"""One server works with one database: two controllers would undo each other's decisions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from limosa_server.errors import AlreadyRunning
from limosa_server.store.engine import make_engine, shown
from limosa_server.store.failures import usable
from limosa_server.store.postgresql import SERVER_LOCK

ANOTHER_DATABASE: Final = "stop it first, or name another database with --database"


class Claim:
    """Held by a connection of its own: the database lets go of it when this process, or its host, dies.

    It is taken before the schema is brought to the newest: the other server works with the one it knows.
    A SQLite file needs none: it lies in the data folder, which is locked as a whole.
    """

    def __init__(self, place: Path | str, *, busy_timeout_s: float = 15.0) -> None:
        self._engine = make_engine(place, busy_timeout_s=busy_timeout_s)
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def hold(self) -> None:
        """Takes it, or sees that it still holds; after a restart of the database it is taken again.

        Raises AlreadyRunning while another server holds it, DatabaseRefused, StoreDown.
        """
        if self._engine.dialect.name != "postgresql" or self._still_holds():
            return
        self.release()
        with usable(self._engine):
            fresh = self._engine.raw_connection()
            connection = fresh.driver_connection
            fresh.detach()
            assert isinstance(connection, psycopg.Connection)
            taken = _take(connection)
        if not taken:
            connection.close()
            raise AlreadyRunning(
                "another server works with this database",
                where=shown(self._engine.url),
                hint=ANOTHER_DATABASE,
            )
        self._connection = connection

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


def _take(connection: psycopg.Connection[tuple[bool]]) -> bool:
    try:
        row = connection.execute(f"SELECT pg_try_advisory_lock({SERVER_LOCK})").fetchone()
    except psycopg.Error:
        connection.close()
        raise
    return row is not None and row[0]
