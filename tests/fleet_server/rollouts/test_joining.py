"""A group that is followed is looked at when it changes, and then at who came or went (rollouts 3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from limosa_server.fleet import groups
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import DecisionRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet

pytestmark = pytest.mark.both_databases
ONE_DEVICE = re.compile(r"WHERE \w+\.(id|device) = ")
READ_WHOLE = ("FROM devices", "FROM device_models", "FROM device_habits", "FROM device_labels")


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    """A rollout that follows its group and has settled; d4 and d5 are not in the group."""
    made = SmallFleet(database.place(), database.folder, devices=6)
    with made.store.transaction() as tx:
        groups.leave(tx, "all", ["d4", "d5"])
    rollout = made.start(waves=[{"name": "all", "bake": "1s"}], target_selection="continuous", abort=[])
    made.live(rollout, seconds=8)
    assert made.row(rollout).settled
    yield made
    made.close()


def joins(fleet: SmallFleet, name: str) -> None:
    with fleet.store.transaction() as tx:
        groups.join(tx, "all", [name], now=fleet.now)


def quarantine(fleet: SmallFleet, name: str) -> None:
    with fleet.store.transaction() as tx:
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        tx.get_one(DeviceModel, (name, MODEL)).quarantined = [release.index_sha256]


def told(fleet: SmallFleet) -> list[str]:
    with fleet.store.read() as tx:
        rows = tx.exec(
            select(DecisionRow).where(DecisionRow.kind == "joined").order_by(col(DecisionRow.id))
        ).all()
        return [row.sentence for row in rows]


def test_who_joins_is_read_and_nobody_else_of_the_group(fleet: SmallFleet) -> None:
    joins(fleet, "d4")
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(" ".join(statement.split()))

    event.listen(fleet.store.engine, "before_cursor_execute", note)
    try:
        fleet.controller.tick()
    finally:
        event.remove(fleet.store.engine, "before_cursor_execute", note)
    assert fleet.runs(1)["d4"].state != "", "it has an execution"
    wide = [one for one in asked if any(name in one for name in READ_WHOLE) and " IN (" not in one]
    assert [one for one in wide if not ONE_DEVICE.search(one) and "last_seen >=" not in one] == []


def test_who_stays_left_out_is_told_once_and_not_with_each_change(fleet: SmallFleet) -> None:
    quarantine(fleet, "d4")
    joins(fleet, "d4")
    fleet.controller.tick()
    assert len(told(fleet)) == 1
    assert "1 more left out: known-bad" in told(fleet)[0]
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", ["d0"])
    fleet.controller.tick()
    assert len(told(fleet)) == 1
    joins(fleet, "d5")
    fleet.controller.tick()
    assert len(told(fleet)) == 2
    assert told(fleet)[1].startswith("1 device joined its group")
