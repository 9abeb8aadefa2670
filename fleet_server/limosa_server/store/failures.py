"""What a database says when it fails, as the errors that callers know: wait, make room, or give up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from limosa_contracts.errors import LimosaError
from limosa_server.errors import DatabaseRefused, StorageFull, StoreBusy, StoreDamaged, StoreDown
from limosa_server.store.engine import shown

ROOM_MIN_BYTES: Final = 1024**2  # with less, a failed write of SQLite is for want of room
PRIMARY: Final = 0xFF  # the lower byte of SQLite's extended codes
NO_ROOM: Final = ("53100", "53200")  # disk_full, out_of_memory
IN_USE: Final = ("55P03", "57014", "40001", "40P01")
"""lock_not_available, query_canceled by a timeout, serialization_failure, deadlock_detected: again later."""
ENDED: Final = ("25P03", "25P04")  # by the database: idle_in_transaction_session_timeout, transaction_timeout
READ_ONLY: Final = "25006"
NOT_ALLOWED: Final = "42501"
MAY_CREATE: Final = "the server's role must own the database, or may create tables in its schema public"
WRITABLE: Final = "name the primary, or several hosts and target_session_attrs=read-write, in --database"
SAID_NO: Final = "PostgreSQL runs and says no: role, password, TLS, the database's name or pg_hba.conf"
TOO_MANY: Final = "raise max_connections, or the role's limit: this server holds up to 50 connections"
REFUSALS: Final = ("FATAL:", "no password supplied", "does not support SSL", "certificate")
"""What libpq says when somebody answered, but let nobody in; there is no code of it."""
CONNECTION_FAILED: Final = ("connection failed: ", "connection is bad: ")  # psycopg, before what libpq says


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Raises StoreBusy, StorageFull or StoreDown for what they mean; everything else as it came."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:  # the bare one: what begins a transaction
        known = _known(error.orig if isinstance(error, DBAPIError) else error, url)
        if known is None:
            raise
        raise known from error
    except NoConnectionFree as error:
        raise StoreBusy("the database is busy", why="every connection to it is in use") from error


@contextmanager
def usable(engine: Engine) -> Iterator[Engine]:
    """For who comes to a database that nobody has worked with yet: the engine is disposed of if that fails.

    Raises what `explained` does, DatabaseRefused for one that may not be worked with, StoreDamaged for a
    file that is none.
    """
    try:
        with explained(engine.url):
            yield engine
    except BaseException as error:
        engine.dispose()
        known = _unusable(error.__cause__ if isinstance(error, StoreDown) else error, engine.url)
        if known is None:
            raise
        raise known from error


def _unusable(error: BaseException | None, url: URL) -> LimosaError | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    where, why = shown(url), str(cause).strip().partition("\n")[0]
    if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.OperationalError):
        return StoreDamaged("the database cannot be read", where=where, why=why)
    if isinstance(cause, psycopg.DatabaseError) and not isinstance(cause, psycopg.OperationalError):
        hint = {NOT_ALLOWED: MAY_CREATE, READ_ONLY: WRITABLE}.get(cause.sqlstate or "", "")
        return DatabaseRefused("the database cannot be used", where=where, why=why, hint=hint)
    return None


def _known(cause: BaseException | None, url: URL) -> LimosaError | None:
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, url)
    if isinstance(cause, psycopg.Error):
        return _postgresql(cause, url)
    return None


def _sqlite(cause: sqlite3.Error, url: URL) -> LimosaError | None:
    code = getattr(cause, "sqlite_errorcode", 0) & PRIMARY
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy("the database is busy", why=str(cause))
    short = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and not _has_room(url)
    if code == sqlite3.SQLITE_FULL or short:
        return StorageFull("there is no room in the database", why=str(cause))
    return None


def _has_room(url: URL) -> bool:
    folder = Path(url.database or ".").parent
    try:
        found = os.statvfs(folder)
    except OSError:
        return True
    return found.f_bavail * found.f_frsize >= ROOM_MIN_BYTES


def _postgresql(cause: psycopg.Error, url: URL) -> LimosaError | None:
    state, why, where = cause.sqlstate, str(cause).strip().partition("\n")[0], shown(url)
    if state in IN_USE:
        return StoreBusy("the database is busy", why=why)
    if state in NO_ROOM:
        return StorageFull("there is no room in the database", where=where, why=why)
    if state in ENDED:
        return StoreDown("the database ended the connection", where=where, why=why)
    if state == READ_ONLY:
        return StoreDown("the database takes no writes", where=where, why=why, hint=WRITABLE)
    if state == NOT_ALLOWED:
        return StoreDown("the database does not allow it", where=where, why=why, hint=MAY_CREATE)
    # Without a state the connection itself failed; 57P0x: it is being stopped or started; 08: it broke.
    if not isinstance(cause, psycopg.OperationalError):
        return None
    if state is None:
        return _not_connected(why, where)
    if state[:2] in ("08", "57", "53"):
        return StoreDown("the database does not answer", where=where, why=why)
    return None


def _not_connected(said: str, where: str) -> StoreDown:
    why = said
    for prefix in CONNECTION_FAILED:
        why = why.removeprefix(prefix)
    if "too many " in why or "connection slots" in why:
        return StoreDown("the database has no connection left", where=where, why=why, hint=TOO_MANY)
    starting = "the database system is " in why
    if any(sign in why for sign in REFUSALS) and not starting:
        return StoreDown("the database does not let the server in", where=where, why=why, hint=SAID_NO)
    return StoreDown("the database does not answer", where=where, why=why)
