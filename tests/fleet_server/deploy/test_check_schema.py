"""A database of another version than the program: the check says which of the two is to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from limosa_server.deploy.check import check
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from limosa_server.store.migrate import head
from tests.fleet_server.databases import Database
from tests.fleet_server.world import make_trust

pytestmark = pytest.mark.both_databases


def hint_for(database: Database, folder: Path, revision: str) -> str:
    make_trust(folder)
    place = database.place()
    store = Store.open(place)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    store.close()
    found = check(ServerSettings(data=folder / "data", dev=True), place, read_blobs=False)
    said = [one for one in found if "schema" in one.what]
    assert all(revision in one.what and one.bad for one in said)
    return " ".join(one.hint for one in said)


def test_after_going_back_to_an_older_program_it_is_not_told_to_upgrade_the_database(
    database: Database, tmp_path: Path
) -> None:
    """The hint was `limosa server run upgrades it`, and the server refused to start."""
    hint = hint_for(database, tmp_path, "9999")
    assert "upgrades it" not in hint
    assert "pip install --upgrade" in hint
    assert "limosa server restore" in hint


def test_after_installing_a_newer_program_the_server_upgrades_it(database: Database, tmp_path: Path) -> None:
    assert hint_for(database, tmp_path, "0009") == "limosa server run upgrades it"


def test_of_the_same_version_nothing_is_said(database: Database, tmp_path: Path) -> None:
    assert hint_for(database, tmp_path, head()) == ""
