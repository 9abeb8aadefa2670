"""Counters that are not what their rows are: a check counts them, and names each (rollouts 3.6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, update
from sqlmodel import SQLModel, col

from limosa_server.deploy.check_counters import check_counters
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice
from limosa_server.tables.rollouts import ExecutionRow, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet, index_of


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    """A bad release on its way back, a device that nobody hears, and a count of who runs what."""
    made = SmallFleet(database.place(), database.folder)
    made.bad = {"d0", "d1", "d2", "d3"}
    rollout = made.start()
    made.live(rollout)
    with made.store.transaction() as tx:
        tx.add(ReleaseCount(index_sha256=index_of("1.0.0"), model=MODEL, version="1.0.0", devices=1))
        tx.add(
            ReleaseDevice(
                device="d0", model=MODEL, index_sha256=index_of("1.0.0"), version="1.0.0", since=made.now
            )
        )
    yield made
    made.store.close()


def found(fleet: SmallFleet) -> list[tuple[str, str]]:
    with fleet.store.read() as tx:
        return [(one.what, one.where) for one in check_counters(tx)]


def change(fleet: SmallFleet, table: type[SQLModel], **values: object) -> None:
    with fleet.store.transaction() as tx:
        tx.execute(update(table).values(**values))


@pytest.mark.both_databases
def test_counters_that_hold_are_no_finding(fleet: SmallFleet) -> None:
    assert found(fleet) == []


@pytest.mark.parametrize(
    "values",
    [
        {"counts": {"SUCCEEDED": 2}},
        {"away": {"IN_PROGRESS": 1}},
        {"silent": 1},
        {"way_back": {"sent": 3}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_each_counter_of_a_wave_is_counted(fleet: SmallFleet, values: dict[str, object]) -> None:
    change(fleet, WaveRow, **values)
    assert found(fleet) == [
        ("a wave's counters are not what its devices are", f"rollout 1, wave {name}")
        for name in ("canary", "rest", "tail")
    ]


def test_a_device_that_is_away_counts_where_its_execution_is_open(fleet: SmallFleet) -> None:
    change(fleet, ExecutionRow, state="IN_PROGRESS", away=True, silent=True)
    change(fleet, WaveRow, way_back={})
    change(fleet, ExecutionRow, returning="")
    with fleet.store.transaction() as tx:
        tx.execute(update(WaveRow).values(counts={}, away={}, silent=0))
        for index, n in ((0, 1), (1, 3)):
            tx.execute(
                update(WaveRow)
                .where(col(WaveRow.index) == index)
                .values(counts={"IN_PROGRESS": n}, away={"IN_PROGRESS": n}, silent=n)
            )
    assert found(fleet) == []


def test_a_group_that_says_another_size_is_named(fleet: SmallFleet) -> None:
    change(fleet, Group, devices=5)
    assert found(fleet) == [("a group says 5 devices, and has 4", "group all")]
    with fleet.store.transaction() as tx:
        tx.execute(delete(Membership))
    assert found(fleet) == [("a group says 5 devices, and has 0", "group all")]


def test_a_release_that_says_more_devices_than_run_it_is_named(fleet: SmallFleet) -> None:
    change(fleet, ReleaseCount, devices=7)
    assert found(fleet) == [("a release says that 7 devices run it, and 1 do", f"{MODEL}@1.0.0")]
    with fleet.store.transaction() as tx:
        tx.execute(delete(ReleaseCount))
    assert found(fleet) == [("a release says that 0 devices run it, and 1 do", f"sha256:{index_of('1.0.0')}")]
