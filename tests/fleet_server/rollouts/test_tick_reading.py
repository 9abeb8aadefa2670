"""A tick costs what has changed: it reads what is due, and knows the rest from counters (server 7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_contracts.phases import Execution
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.tally import counted
from limosa_server.core.wave import Wave
from limosa_server.rollouts import tick_reading
from limosa_server.rollouts.rollout_rows import execution_of, wave_of
from limosa_server.tables.devices import Device
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet

DEVICES = 40
SLOW = {
    "waves": [{"name": "all", "bake": "1h"}],
    "rate": {"maximum_per_minute": 1000, "max_in_progress": 5},
    "timeouts": {"offer": "1h", "in_progress": "1h", "silence": "15m"},
    "abort": [],
    "control": {"percent": 0},
}

pytestmark = pytest.mark.both_databases


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder, devices=DEVICES)
    yield made
    made.close()


def looked_at(fleet: SmallFleet, rollout: int, *, seen_since: float) -> list[str]:
    with fleet.store.read() as tx:
        row = tx.get_one(RolloutRow, rollout)
        return sorted(tick_reading.read(tx, row, now=fleet.now, seen_since=seen_since).rows)


def check_waves(fleet: SmallFleet, rollout: int) -> None:
    """The kept counters are the recount of the rows, those of who is away and on the way back too."""
    with fleet.store.read() as tx:
        waves = tx.exec(select(WaveRow).where(WaveRow.rollout == rollout)).all()
        runs = [execution_of(row) for row in tx.exec(select(ExecutionRow)).all() if row.rollout == rollout]
        kept = {wave.index: wave_of(wave) for wave in waves}
    for index, wave in kept.items():
        again = Wave(index=index, name="", bake_s=0, pause_after=False, size=0)
        for run in runs:
            if run.wave == index:
                again = counted(again, run, 1)
        assert (wave.counts, wave.away, wave.silent, wave.way_back) == (
            again.counts, again.away, again.silent, again.way_back
        )  # fmt: skip


def test_devices_that_go_home_with_their_offer_leave_their_places_to_others(fleet: SmallFleet) -> None:
    """Five are offered it and switched off at once: the other thirty-five waited for them (rollouts 3.5)."""
    rollout = fleet.start(**{**SLOW, "timeouts": {"offer": "1h", "in_progress": "1h", "silence": "3s"}})
    for _ in range(2):
        fleet.controller.tick()
    gone = sorted(name for name, run in fleet.runs(rollout).items() if run.state == "NOTIFIED")
    assert len(gone) == 5
    with fleet.store.transaction() as tx:
        for name in gone:
            tx.get_one(Device, name).online = False
    fleet.offline.update(gone)
    fleet.live(rollout, seconds=30)
    done = sorted(name for name, run in fleet.runs(rollout).items() if run.state == "SUCCEEDED")
    assert len(done) == DEVICES - 5
    check_waves(fleet, rollout)


def test_a_quiet_tick_looks_at_nobody_and_a_report_at_one(fleet: SmallFleet) -> None:
    rollout = fleet.start(**SLOW)
    for _ in range(3):
        fleet.controller.tick()
        fleet.now += 1
    busy = sorted(name for name, run in fleet.runs(rollout).items() if run.state == "NOTIFIED")
    assert len(busy) == 5
    fleet.now += 60
    before = looked_at(fleet, rollout, seen_since=fleet.now)
    fleet.controller.tick()
    assert len(before) <= 5, "those whose turn it is by the clock, spread over the silence"
    assert looked_at(fleet, rollout, seen_since=fleet.now) == []
    fleet.answer(busy[0])
    assert looked_at(fleet, rollout, seen_since=fleet.now)[-1:] != []
    fleet.controller.tick()
    assert fleet.runs(rollout)[busy[0]].state == "SUCCEEDED"
    check_waves(fleet, rollout)


def test_a_device_that_comes_back_is_found_by_its_sign_of_life(fleet: SmallFleet) -> None:
    with fleet.store.transaction() as tx:
        for device in tx.exec(select(Device)).all():
            device.online = device.id == "d0"
            tx.add(device)
    rollout = fleet.start(**{**SLOW, "timeouts": {"offer": "1d", "in_progress": "1d", "silence": "15m"}})
    for _ in range(3):
        fleet.controller.tick()
        fleet.now += 1
    fleet.now += 3600
    for _ in range(2):
        fleet.controller.tick()
        fleet.now += 1
    runs = fleet.runs(rollout)
    assert not runs["d0"].away
    assert all(run.away for name, run in runs.items() if name != "d0" and run.state != "SUCCEEDED")
    check_waves(fleet, rollout)
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, "d7")
        device.last_seen = fleet.now
        tx.add(device)
    fleet.controller.tick()
    assert not fleet.runs(rollout)["d7"].away
    check_waves(fleet, rollout)


def test_the_offer_clock_of_a_device_that_says_nothing_runs_out_on_time(fleet: SmallFleet) -> None:
    rollout = fleet.start(**{**SLOW, "timeouts": {"offer": "10m", "in_progress": "1h", "silence": "1d"}})
    for _ in range(3):
        fleet.controller.tick()
        fleet.now += 1
    offered = {name: run.offered_at for name, run in fleet.runs(rollout).items() if run.offered_at}
    at = max(one for one in offered.values() if one is not None)
    fleet.now = at + 599
    fleet.controller.tick()
    assert all(fleet.runs(rollout)[name].state == "NOTIFIED" for name in offered)
    fleet.now = at + 602
    fleet.controller.tick()
    assert all(fleet.runs(rollout)[name].state == "TIMED_OUT" for name in offered)
    check_waves(fleet, rollout)


def test_a_fleet_is_sent_back_a_part_in_each_tick(fleet: SmallFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_reading, "BACK_PER_TICK", 7)
    fleet.bad = {f"d{i}" for i in range(30, DEVICES)}
    rollout = fleet.start(
        waves=[{"name": "all", "bake": "2s"}],
        abort=[{"threshold": 0.1, "min_executed": DEVICES, "action": "rollback"}],
        control={"percent": 0},
    )
    while fleet.row(rollout).status != "ROLLING_BACK":
        fleet.controller.tick()
        for device in fleet.names():
            fleet.answer(device)
        fleet.now += 1
    fleet.controller.tick()
    sent = [run for run in fleet.runs(rollout).values() if run.returning]
    assert 0 < len(sent) <= 8
    check_waves(fleet, rollout)
    assert fleet.live(rollout) == "ROLLED_BACK"
    assert set(fleet.running().values()) == {"1.0.0"}
    check_waves(fleet, rollout)


def test_a_fleet_is_told_to_stay_a_part_in_each_tick(
    fleet: SmallFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tick_reading, "BACK_PER_TICK", 9)
    rollout = fleet.start(**SLOW)
    for _ in range(2):
        fleet.controller.tick()
        fleet.now += 1
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        row.status, row.reason = "CANCELING", "canceled by eva"
        tx.add(row)
    fleet.controller.tick()
    left = sum(run.state in ("QUEUED", "NOTIFIED") for run in fleet.runs(rollout).values())
    assert DEVICES - 10 <= left < DEVICES
    assert fleet.live(rollout) == "CANCELED"
    assert {run.state for run in fleet.runs(rollout).values()} == {"CANCELED"}
    check_waves(fleet, rollout)


def test_counters_of_a_wave_move_with_each_kind_of_change() -> None:
    wave = Wave(index=0, name="all", bake_s=0, pause_after=False, size=1)
    away = DeviceExecution(device="d", wave=0, away=True)
    assert counted(wave, away, 1).present == 0
    ended = DeviceExecution(device="d", wave=0, away=True, state=Execution.SUCCEEDED)
    assert counted(counted(counted(wave, away, 1), away, -1), ended, 1).away.total == 0


def test_who_waits_behind_a_busy_wave_is_not_read_again_with_each_report(fleet: SmallFleet) -> None:
    waves = [{"name": "first", "count": 10, "bake": "0s"}, {"name": "rest", "bake": "0s"}]
    rollout = fleet.start(**{**SLOW, "rate": {"maximum_per_minute": 1000}, "waves": waves})
    for _ in range(2):
        fleet.controller.tick()
    first = {name for name, run in fleet.runs(rollout).items() if run.state == "NOTIFIED"}
    assert len(first) == 10
    fleet.answer(min(first))
    assert set(looked_at(fleet, rollout, seen_since=fleet.now + 1)) <= first
    for name in first:
        fleet.answer(name)
    assert len(looked_at(fleet, rollout, seen_since=fleet.now + 1)) == DEVICES - len(first)
