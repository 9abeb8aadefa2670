"""The state database: SQLite, WAL, synchronous=FULL (agent 3.1). The truth of this device.

One connection, one thread. Each step up of the schema is one entry of MIGRATIONS; it only adds tables, and
says its number in `meta`, so that the agent one step back still opens the file and writes what it knows
(agent 7.2). `user_version` is the oldest schema whose agent may open it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from limosa_agent.chance import drawn_bits
from limosa_agent.errors import JournalCorrupt, StateTooNew

FILE: Final = "state.db"
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE models (model TEXT PRIMARY KEY, phase TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE quarantine (
        model TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, index_sha256 TEXT NOT NULL,
        reason TEXT NOT NULL, ord INTEGER NOT NULL, PRIMARY KEY (model, manifest_sha256)
    ) WITHOUT ROWID;
    CREATE TABLE desired (
        one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
        digest TEXT NOT NULL, envelope BLOB NOT NULL
    );
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, suffix TEXT NOT NULL, key TEXT NOT NULL,
        payload BLOB NOT NULL, rev INTEGER NOT NULL DEFAULT 0, fresh INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX outbox_key ON outbox (suffix, key);
    CREATE TABLE open_windows (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE shadows (model TEXT PRIMARY KEY, phase TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE holds (scope TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
    INSERT OR REPLACE INTO meta VALUES ('schema', '2');
    """,
)
SCHEMA_KEY: Final = "schema"
ASIDE_MAX: Final = 3  # databases that were set aside; a disk that goes on to spoil them is not filled by it


def nothing(point: str) -> None:
    """No probe."""


class StateDb:
    """`probe` is called before and after each commit, so that a test can cut the power there."""

    def __init__(self, connection: sqlite3.Connection, *, probe: Callable[[str], None] = nothing) -> None:
        self._connection = connection
        self._probe = probe
        self._open = False

    @classmethod
    def open(cls, folder: Path, *, probe: Callable[[str], None] = nothing) -> StateDb:
        """Makes or migrates it. Raises JournalCorrupt, StateTooNew; sqlite3.OperationalError where it is
        locked, or the disk is full or does not answer: then it may well be whole."""
        path = folder / FILE
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=True)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 2000")
            connection.execute("PRAGMA cache_size = -256")  # KiB: the supervisor stays small
            _migrate(connection, path)
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError as error:
            connection.close()
            raise JournalCorrupt(
                "the state database cannot be read", where=str(path), why=str(error)
            ) from error
        except StateTooNew:
            connection.close()
            raise
        if problem != "ok":
            connection.close()
            raise JournalCorrupt("the state database is damaged", where=str(path), why=str(problem))
        return cls(connection, probe=probe)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self, point: str) -> Iterator[sqlite3.Connection]:
        """Everything or nothing; nested use joins the outer one."""
        if self._open:
            yield self._connection
            return
        self._open = True
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._probe(f"before {point}")
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._open = False
        self._probe(f"after {point}")

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def meta(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_meta(self, name: str, value: str) -> None:
        with self.transaction(f"meta {name}") as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def count_boot(self) -> int:
        """The number of this start of the agent, durable; the first is 1."""
        number = int(self.meta("boots") or "0") + 1
        self.set_meta("boots", str(number))
        return number

    @property
    def outbox_session(self) -> int:
        """Drawn once when the database is made (63 bits)."""
        found = self.meta("outbox_session")
        if found is None:
            found = str(drawn_bits(62) + 1)
            self.set_meta("outbox_session", found)
        return int(found)


def set_aside(folder: Path) -> Path:
    """Moves a database that cannot be read out of the way, for who wants to look at it later.

    The first ones stay: they are nearest to what spoiled them."""
    number = 0
    while (target := folder / f"{FILE}.corrupt-{number}").exists() and number < ASIDE_MAX - 1:
        number += 1
    for suffix in ("-wal", "-shm"):
        (folder / f"{FILE}{suffix}").unlink(missing_ok=True)
    (folder / FILE).rename(target)
    return target


def oldest_reader(schema: int) -> int:
    """The oldest schema whose agent may open a database of this one: one step back."""
    return max(1, schema - 1)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    reader = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if reader > len(MIGRATIONS):
        raise StateTooNew(
            f"the state database needs an agent that knows version {reader}",
            where=str(path),
            why=f"this agent knows {len(MIGRATIONS)}",
        )
    done = 0 if reader == 0 else _schema(connection)
    for number, script in enumerate(MIGRATIONS[done:], start=done + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {oldest_reader(number)}; COMMIT;"
        )


def _schema(connection: sqlite3.Connection) -> int:
    """The first agents did not write it down."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (SCHEMA_KEY,)).fetchone()
    return int(row[0]) if row and str(row[0]).isdigit() else 1
