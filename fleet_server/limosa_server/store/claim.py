"""One server works with one database: two controllers would undo each other's decisions."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import psycopg
from sqlalchemy import Engine

from limosa_server.errors import AlreadyRunning
from limosa_server.store.engine import shown
from limosa_server.store.failures import explained
from limosa_server.store.postgresql import SERVER_LOCK

ANOTHER_DATABASE: Final = "stop it first, or name another database with --database"


class Claim:
    """Held by a connection of its own: the database lets go of it when this process, or its host, dies.

    A SQLite file needs none: it lies in the data folder, which is locked as a whole.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def hold(self) -> None:
        """Takes it, or sees that it still holds; after a restart of the database it is taken again.

        Raises AlreadyRunning while another server holds it, StoreDown.
        """
        if self._engine.dialect.name != "postgresql" or self._still_holds():
            return
        self.release()
        with explained(self._engine.url):
            fresh = self._engine.raw_connection()
        connection = fresh.driver_connection
        fresh.detach()
        assert isinstance(connection, psycopg.Connection)
        row = connection.execute(f"SELECT pg_try_advisory_lock({SERVER_LOCK})").fetchone()
        if row is None or not row[0]:
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
        except psycopg.OperationalError:
            return False
        return True
