"""Brings the schema to the newest revision with Alembic, from the first table on (server 2.1)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, column, inspect, select, table

from limosa_server.errors import StoreNewer
from limosa_server.store.engine import shown
from limosa_server.store.transaction_kinds import for_kind

if TYPE_CHECKING:
    from alembic.config import Config

REVISION_FILE: Final = re.compile(r"r(?P<revision>\d{4})_\w+\.py")
KEPT_IN: Final = table("alembic_version", column("version_num"))  # by Alembic


def alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("limosa_server.store").joinpath("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrades to the head; one that is there already is only read, which needs no Alembic.

    Raises StoreNewer if the database is ahead of this program.
    """
    with for_kind(engine, "read").begin() as connection:
        current = revision_in(connection)
    if current and is_newer(current):
        raise StoreNewer("this database is of a newer version", where=shown(engine.url), why=current)
    if current == head():
        return
    from alembic import command

    config = alembic_config()
    with for_kind(engine, "write").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def revision_in(connection: Connection) -> str:
    """ "" for a database without tables. Of several, which only other programs leave there, the last one:
    what this program does not know is not passed over."""
    if not inspect(connection).has_table(KEPT_IN.name):
        return ""
    return max((found or "" for found in connection.scalars(select(KEPT_IN.c.version_num))), default="")


@cache
def revisions() -> tuple[str, ...]:
    """Of this program, from the first to the head: one after the other, as their files are numbered."""
    folder = files("limosa_server.store").joinpath("migrations", "versions")
    found = (REVISION_FILE.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(one["revision"] for one in found if one))


def head() -> str:
    """The revision of this program's tables."""
    return revisions()[-1]


def is_newer(revision: str) -> bool:
    """Whether it is none of this program's: a later program made it."""
    return revision not in revisions()
