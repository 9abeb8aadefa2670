"""Brings the schema to the newest revision with Alembic, from the first table on (server 2.1)."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from limosa_server.errors import StoreNewer
from limosa_server.store.engine import shown
from limosa_server.store.transaction_kinds import for_kind


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("limosa_server.store").joinpath("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrades to the head; one that is there already is only read.

    Raises StoreNewer if the database is ahead of this program.
    """
    config = alembic_config()
    with for_kind(engine, "read").begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and is_newer(current):
        raise StoreNewer("this database is of a newer version", where=shown(engine.url), why=current)
    if current == head():
        return
    with for_kind(engine, "write").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def head() -> str:
    """The revision of this program's tables."""
    found = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert found is not None
    return found


def is_newer(revision: str) -> bool:
    """Whether it is none of this program's: a later program made it."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return revision not in {script.revision for script in scripts.walk_revisions()}
