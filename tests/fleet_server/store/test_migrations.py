"""Every schema that ever landed comes to today's, with its rows, on both databases (server 2.1).

`golden/schema-NNNN.sql` is what a server of that revision left behind: three devices, one rollout that
completed, one under way. To freeze the newest: `sqlite3 limosa.db .dump`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text
from sqlmodel import SQLModel, col, select

import limosa_server.tables  # noqa: F401  # fills the metadata
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.abort import Failure
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access import audit
from limosa_server.registry.blobs import Blobs
from limosa_server.rollouts.controller import Controller
from limosa_server.store import Store
from limosa_server.store.engine import make_engine
from limosa_server.store.migrate import alembic_config, migrate, revisions
from limosa_server.store.transaction_kinds import for_kind
from limosa_server.tables.access import AuditRow
from limosa_server.tables.devices import Device, DeviceLabel
from limosa_server.tables.reports import EventRow, WindowRow
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow
from limosa_server.trust.director import Director
from tests.fleet_server.databases import Database
from tests.fleet_server.store.schemas import copy_rows, row_counts, schema

pytestmark = pytest.mark.both_databases
GOLDEN: Final = Path(__file__).parent / "golden"
REVISIONS: Final = sorted(path.stem.removeprefix("schema-") for path in GOLDEN.glob("schema-*.sql"))


@pytest.fixture(params=REVISIONS)
def old(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Path | str]:
    """A database as a server of that revision left it."""
    left = tmp_path / "left.db"
    with closing(sqlite3.connect(left)) as connection:
        connection.executescript((GOLDEN / f"schema-{request.param}.sql").read_text())
    if database.kind == "sqlite":
        yield left
        return
    place = database.place(empty=True)
    source, target = make_engine(left, busy_timeout_s=5), make_engine(place, busy_timeout_s=5)
    migrate(target, request.param)
    with for_kind(target, "write").begin() as connection:
        copy_rows(source, connection)
    source.dispose()
    target.dispose()
    yield place


def made_directly(place: Path | str) -> Engine:
    engine = make_engine(place, busy_timeout_s=5)
    SQLModel.metadata.create_all(engine)
    return engine


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    """If this fails: python fleet_server/tools/new_revision.py"""
    direct = made_directly(database.place("direct", empty=True))
    migrated = Store.open(database.place("migrated", empty=True))
    assert schema(migrated.engine) == schema(direct)
    direct.dispose()
    migrated.close()


def test_the_files_are_numbered_as_alembic_walks_them() -> None:
    """What a database is of is known by the files' names: opening one needs no Alembic."""
    walked = [one.revision for one in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    assert walked == list(reversed(revisions()))


def test_an_old_database_comes_to_todays_schema_and_loses_no_row(old: Path | str, database: Database) -> None:
    before = make_engine(old, busy_timeout_s=5)
    rows = row_counts(before)
    before.dispose()
    direct = made_directly(database.place("direct", empty=True))
    upgraded = Store.open(old)
    assert schema(upgraded.engine) == schema(direct)
    after = row_counts(upgraded.engine)
    assert {name: after.get(name) for name in rows} == rows
    direct.dispose()
    upgraded.close()


def test_what_an_old_server_knew_is_still_known(old: Path | str) -> None:
    before = make_engine(old, busy_timeout_s=5)
    with for_kind(before, "write").begin() as connection:
        connection.execute(text("UPDATE rollouts SET accepted_failures = 2 WHERE id = 2"))
    before.dispose()
    store = Store.open(old)
    with store.read() as tx:
        devices = tx.exec(select(Device).order_by(col(Device.id))).all()
        assert [(row.state, row.profile) for row in devices] == [("active", "")] * 3
        labels = tx.exec(select(DeviceLabel.value).order_by(col(DeviceLabel.value))).all()
        assert labels == ["hq", "hq", "lab"]
        assert [(row.rev, row.n) for row in tx.exec(select(WindowRow))] == [(2, 9)] * 3
        assert len(tx.exec(select(EventRow)).all()) == 6
        rollouts = tx.exec(select(RolloutRow).order_by(col(RolloutRow.id))).all()
        assert [row.status for row in rollouts] == ["COMPLETED", "RUNNING"]
        kinds = {kind.value: 2 for kind in Failure if kind is not Failure.ALL}
        assert [row.accepted for row in rollouts] == [{}, kinds], "in spite of it somebody had resumed"
        assert audit.first_break(tx.exec(select(AuditRow).order_by(col(AuditRow.seq))).all()) is None
    store.close()


def test_a_rollout_that_was_under_way_goes_on_after_the_upgrade(old: Path | str, tmp_path: Path) -> None:
    """The first tick of the new server reads it, decides, and breaks nothing."""
    store = Store.open(old)
    with store.read() as tx:
        now = tx.get_one(RolloutRow, 2).since + 5
    director = Director(key=lambda: SigningKey.generate(Algorithm.ED25519), epoch=lambda: 1)
    blobs = Blobs(tmp_path / "blobs", max_bytes=2**20)
    Controller(store=store, director=director, blobs=blobs, clock=lambda: now).tick()
    with store.read() as tx:
        row = tx.get_one(RolloutRow, 2)
        states = {Execution(run.state) for run in tx.exec(select(ExecutionRow)).all() if run.rollout == 2}
    store.close()
    assert (row.status, row.failing_reason) == ("RUNNING", "")
    assert Execution.NOTIFIED in states
