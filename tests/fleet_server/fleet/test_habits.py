"""How long a device is usually away is kept at a write per gap, not per report (rollouts 3.4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_server.fleet import habits
from limosa_server.reports import report_rows
from limosa_server.tables.devices import Device
from limosa_server.tables.habits import DeviceHabit
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet

HOUR, DAY = 3600.0, 86400.0


pytestmark = pytest.mark.both_databases


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder, devices=2)
    yield made
    made.close()


def sign(fleet: SmallFleet, device: str, *, online: bool | None = None) -> None:
    with fleet.store.transaction() as tx:
        if online is None:
            report_rows.seen(tx, [device], fleet.now)
        else:
            report_rows.presence(tx, device, online=online, session=1, now=fleet.now)


def usual(fleet: SmallFleet, device: str) -> float | None:
    with fleet.store.read() as tx:
        return habits.usual_gaps(tx, [device]).get(device)


def test_a_shop_that_goes_dark_each_night_is_known_after_two_days(fleet: SmallFleet) -> None:
    for _ in range(4):
        sign(fleet, "d0", online=False)
        fleet.now += 14 * HOUR
        sign(fleet, "d0", online=True)
        for _ in range(10):
            fleet.now += HOUR
            sign(fleet, "d0")
    found = usual(fleet, "d0")
    assert found is not None
    assert 14 * HOUR <= found <= 28 * HOUR
    assert usual(fleet, "d1") is None


def test_a_device_whose_connection_holds_costs_no_write(fleet: SmallFleet) -> None:
    for _ in range(50):
        fleet.now += HOUR
        sign(fleet, "d0")
    with fleet.store.read() as tx:
        assert tx.exec(select(DeviceHabit)).all() == []


def test_one_that_goes_was_there_until_now_however_long_ago_it_reported(fleet: SmallFleet) -> None:
    fleet.now += 5 * HOUR
    sign(fleet, "d0", online=False)
    with fleet.store.read() as tx:
        assert tx.get_one(Device, "d0").last_seen == fleet.now
    left = fleet.now
    fleet.now += HOUR
    sign(fleet, "d0", online=False)  # the same will, delivered twice
    with fleet.store.read() as tx:
        assert tx.get_one(Device, "d0").last_seen == left


def test_a_device_that_only_ever_polls_has_its_gaps_too(fleet: SmallFleet) -> None:
    sign(fleet, "d0", online=False)
    for _ in range(60):
        fleet.now += HOUR
        sign(fleet, "d0")
    found = usual(fleet, "d0")
    assert found is not None
    assert HOUR <= found <= 2.2 * HOUR
