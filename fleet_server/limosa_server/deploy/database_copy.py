"""The database as one file, and back: SQLite's own online backup, PostgreSQL's own pg_dump (server 2)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Engine

from limosa_server.deploy.backup_manifest import POSTGRESQL, SQLITE
from limosa_server.errors import BackupFailed
from limosa_server.store.engine import place_of, shown

SEARCHED: Final = os.pathsep.join(
    [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
)
PAGES_AT_ONCE: Final = 4096  # of SQLite; between two steps the server may write


def kind_of(place: Path | str) -> str:
    return POSTGRESQL if place_of(place).drivername == "postgresql" else SQLITE


def revision_of(engine: Engine) -> str:
    """ "" for a database without tables."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def dump(place: Path | str, target: Path) -> None:
    """A consistent copy while the server goes on. Raises BackupFailed."""
    url = place_of(place)
    if url.drivername == "postgresql":
        _run("pg_dump", url, "--format=custom", "--no-owner", f"--file={target}")
        return
    try:
        with (
            closing(sqlite3.connect(f"file:{url.database}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy, pages=PAGES_AT_ONCE)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    except sqlite3.Error as error:
        raise BackupFailed("the database cannot be copied", where=shown(url), why=str(error)) from error


def load(source: Path, place: Path | str) -> None:
    """Into a database that is empty. Raises BackupFailed."""
    url = place_of(place)
    if url.drivername == "postgresql":
        _run("pg_restore", url, "--exit-on-error", "--single-transaction", "--no-owner", str(source))
        return
    target = Path(str(url.database))
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)
    target.chmod(0o600)


def _run(program: str, url: URL, *arguments: str) -> None:
    found = shutil.which(program, path=SEARCHED)
    if found is None:
        hint = "apt-get install postgresql-client"
        raise BackupFailed(f"{program} is not installed", where="PATH", hint=hint)
    password = {"PGPASSWORD": url.password} if isinstance(url.password, str) else {}
    name = url.set(password=None, drivername="postgresql").render_as_string(hide_password=False)
    flag = "--dbname=" + name
    done = subprocess.run(
        [found, flag, *arguments],
        env={**os.environ, **password},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupFailed(
            f"{program} failed", where=shown(url), why=done.stderr.strip().rpartition("\n")[2][:500]
        )
