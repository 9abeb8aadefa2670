"""The SQLite engine, set up so that what was committed stays committed."""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from limosa_server.store.transaction_kinds import kind_of

POOL_SIZE: Final = 16  # one per thread of the request pool that reads at once
POOL_OVERFLOW: Final = 32


def make_engine(url: URL, *, busy_timeout_s: float) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver's own idea of when a transaction begins would make reads upgrade to writes,
        # which SQLite refuses at once when somebody else wrote in between.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an acknowledgement follows the commit (server 3.3)
            "foreign_keys=ON",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that will write says so at once: one that began by reading would be refused.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if kind_of(connection) == "write" else "BEGIN")

    return engine
