"""Which database a place names, and an engine for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from limosa_server.errors import DatabaseRefused
from limosa_server.store import postgresql, sqlite

POSTGRESQL_NAMES: Final = ("postgresql", "postgres")
SECRETS: Final = ("password", "sslpassword")  # as parameters, where SQLAlchemy would show them


def place_of(place: Path | str) -> URL:
    """A path is a SQLite file. Raises DatabaseRefused, which never tells a password.

    >>> place_of("limosa.db").drivername, place_of("postgresql:///limosa?host=/run/postgresql").database
    ('sqlite', 'limosa')
    """
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise DatabaseRefused("the database's URL cannot be read", where="--database") from error
    kind = url.get_backend_name()
    if kind in POSTGRESQL_NAMES:
        return _password_in_its_place(url.set(drivername="postgresql"))
    if kind == "sqlite" and url.database:
        return url
    raise DatabaseRefused(f"{kind[:40]} is not a database of this server", where="--database")


def make_engine(place: Path | str, *, busy_timeout_s: float) -> Engine:
    """Connects at the first use. Raises DatabaseRefused."""
    url = place_of(place)
    if url.drivername == "postgresql":
        return postgresql.make_engine(url, busy_timeout_s=busy_timeout_s)
    return sqlite.make_engine(url, busy_timeout_s=busy_timeout_s)


def _password_in_its_place(url: URL) -> URL:
    """libpq takes it as a parameter too."""
    given = url.query.get("password")
    if isinstance(given, str):
        url = url.set(password=given)
    return url.difference_update_query(["password"])


def shown(url: URL) -> str:
    """A database's name for people: without its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    hidden = {name: "***" for name in SECRETS if name in url.query}
    named = url.set(drivername="postgresql").update_query_dict(hidden)
    return named.render_as_string(hide_password=True)
