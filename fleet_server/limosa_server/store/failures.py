"""What a database says when it fails, as the errors that callers know: wait, make room, or give up."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from limosa_contracts.errors import LimosaError
from limosa_server.errors import StorageFull, StoreBusy, StoreDown
from limosa_server.store.engine import shown

ROOM_MIN_BYTES: Final = 1024**2  # with less, a failed write of SQLite is for want of room
PRIMARY: Final = 0xFF  # the lower byte of SQLite's extended codes
NO_ROOM: Final = ("53100", "53200")  # disk_full, out_of_memory
IN_USE: Final = ("55P03", "57014")  # lock_not_available, query_canceled by a timeout


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
    state, why = cause.sqlstate, str(cause).strip().partition("\n")[0]
    if state in IN_USE:
        return StoreBusy("the database is busy", why=why)
    if state in NO_ROOM:
        return StorageFull("there is no room in the database", where=shown(url), why=why)
    # Without a state the connection itself failed; 57P0x: it is being stopped or started; 08: it broke.
    if isinstance(cause, psycopg.OperationalError) and (state is None or state[:2] in ("08", "57", "53")):
        return StoreDown("the database does not answer", where=shown(url), why=why)
    return None
