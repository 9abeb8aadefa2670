"""Brings the schema to the newest revision with Alembic, from the first table on (server 2.1)."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from limosa_server.errors import StoreNewer


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("limosa_server.store").joinpath("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def migrate(engine: Engine) -> None:
    """Upgrades to the head. Raises StoreNewer if the database is ahead of this program."""
    config = alembic_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StoreNewer("this database is of a newer version", where=str(engine.url.database), why=current)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
