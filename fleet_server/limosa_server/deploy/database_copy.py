"""The database as one file, and back: SQLite's own online backup, PostgreSQL's own pg_dump (server 2)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, create_engine

from limosa_server.deploy.backup_manifest import POSTGRESQL, SQLITE
from limosa_server.errors import BackupFailed
from limosa_server.store.engine import make_engine, place_of, shown
from limosa_server.store.failures import usable
from limosa_server.store.migrate import revision_in
from limosa_server.store.postgresql import DEFAULTS
from limosa_server.store.transaction_kinds import for_kind

INSTALLED: Final = "usr/lib/postgresql/*/bin"
SAME_MAJOR: Final = "apt-get install postgresql-client-NN, of the server's major version or a newer one"
PORTABLE: Final = ("--no-owner", "--no-acl", "--schema=public")
"""Without other roles' rights and without extensions: another cluster need not have them."""
VERSIONS_DIFFER: Final = "version mismatch"  # what both programs say, in the language that they are given
SERVICE: Final = "limosa"
NOT_TOLD: Final = ("password", "sslpassword", "context")  # on a command line; psycopg's own
PAGES_AT_ONCE: Final = 4096  # of SQLite; between two steps the server may write


def kind_of(place: Path | str) -> str:
    return POSTGRESQL if place_of(place).drivername == "postgresql" else SQLITE


@contextmanager
def looked_at(place: Path | str, *, busy_timeout_s: float) -> Iterator[Engine]:
    """For tools beside a server that may be at work: its transactions read, and nobody waits for them.

    Raises DatabaseRefused, StoreDamaged, StoreDown.
    """
    with usable(make_engine(place, busy_timeout_s=busy_timeout_s)) as engine:
        yield for_kind(engine, "read")
        engine.dispose()


def revision_of(engine: Engine) -> str:
    """ "" for a database without tables."""
    with engine.connect() as connection:
        return revision_in(connection)


def dump(place: Path | str, target: Path) -> None:
    """A consistent copy while the server goes on. Raises BackupFailed."""
    url = place_of(place)
    if url.drivername == "postgresql":
        _run("pg_dump", url, "--format=custom", *PORTABLE, f"--file={target}")
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
        _run("pg_restore", url, "--exit-on-error", "--single-transaction", *PORTABLE, str(source))
        return
    target = Path(str(url.database))
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)
    target.chmod(0o600)


def _run(program: str, url: URL, *arguments: str) -> None:
    candidates = _installed(program)
    if not candidates:
        hint = "apt-get install postgresql-client"
        raise BackupFailed(f"{program} is not installed", where="PATH", hint=hint)
    password = {"PGPASSWORD": url.password} if isinstance(url.password, str) else {}
    _, parameters = create_engine(url.set(drivername="postgresql+limosa")).dialect.create_connect_args(url)
    name = make_conninfo("", **{key: parameters[key] for key in parameters if key not in NOT_TOLD})
    said = ""
    secret = "" if "service" in parameters else parameters.get("sslpassword", "")  # a service has its own
    with _key_password(secret) as (environment, service):
        for found in candidates:
            done = subprocess.run(
                # Without the first it asks for a password on a terminal.
                [found, "--no-password", f"--dbname={name}{service}", *arguments],
                env={
                    "PGCONNECT_TIMEOUT": DEFAULTS["connect_timeout"], **os.environ, "LC_ALL": "C",
                    **password, **environment,
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return
            said = done.stderr.strip()
            if VERSIONS_DIFFER not in said:
                break
    raise BackupFailed(
        f"{program} failed",
        where=shown(url),
        why=said.rpartition("\n")[2][:500],
        hint=SAME_MAJOR if VERSIONS_DIFFER in said else "",
    )


@contextmanager
def _key_password(secret: str) -> Iterator[tuple[dict[str, str], str]]:
    """(environment, what the connection string says besides). libpq reads the password of a TLS key from no
    variable, and everybody on the machine reads a command line; a service file is for this user only."""
    if not secret:
        yield {}, ""
        return
    with tempfile.NamedTemporaryFile("w", prefix="limosa-", suffix=".conf") as file:
        file.write(f"[{SERVICE}]\nsslpassword={secret}\n")
        file.flush()
        yield {"PGSERVICEFILE": file.name}, f" service={SERVICE}"


def _installed(program: str) -> list[str]:
    """What an operator put on PATH goes first, then the newest: an older one refuses a newer server."""
    folders = sorted(Path("/").glob(INSTALLED), key=lambda one: _number(one.parent.name), reverse=True)
    found = [shutil.which(program), *(shutil.which(program, path=str(one)) for one in folders)]
    return [one for one in dict.fromkeys(found) if one is not None]


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 0.0
