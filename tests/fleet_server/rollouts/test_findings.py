"""What a rollout found bad is remembered, and kept from the devices it is about (rollouts 3.9)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_server.core.errors import KnownBad
from limosa_server.fleet import groups
from limosa_server.rollouts import findings, rollout_plan
from limosa_server.tables.devices import Device
from limosa_server.tables.groups import Membership
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import SmallFleet, index_of, spec_of

DEVICES = 24
BAD = [f"d{i}" for i in range(8)]  # all Raspberry Pi 4
WIDE = {
    "waves": [{"name": "all", "bake": "2s"}],
    "abort": [{"threshold": 0.2, "min_executed": DEVICES, "action": "rollback"}],
    "control": {"percent": 0},
}

pytestmark = pytest.mark.both_databases


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder, devices=DEVICES)
    with made.store.transaction() as tx:
        for device in tx.exec(select(Device)).all():
            device.profile = "rpi4" if device.id in BAD else "rpi5"
            tx.add(device)
    yield made
    made.close()


def finding(fleet: SmallFleet, rollout: int) -> FindingRow | None:
    with fleet.store.read() as tx:
        return tx.get(FindingRow, rollout)


def test_all_failures_are_of_one_profile_and_the_next_plan_leaves_that_out(fleet: SmallFleet) -> None:
    fleet.bad = set(BAD)
    rollout = fleet.start(**WIDE)
    assert fleet.live(rollout) == "ROLLED_BACK"
    found = finding(fleet, rollout)
    assert found is not None
    assert found.sentence == "all 8 failures: profile rpi4 (8 of 8 there, 0 of 16 elsewhere)"
    assert (found.bad, found.reasons) == (True, [["worker_crashed", 8]])
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**WIDE), salt="s", now=fleet.now).plan
    assert sorted(planned.excluded) == sorted(BAD)
    assert str(planned.excluded["d0"]).startswith("known-bad: rollout 1: all 8 failures: profile rpi4")
    assert sum(len(wave.devices) for wave in planned.waves) == DEVICES - len(BAD)
    rollout_plan.refuse_bad(planned)  # the others may have it


def test_a_new_device_of_the_class_is_left_out_though_it_never_failed(fleet: SmallFleet) -> None:
    fleet.bad = set(BAD)
    fleet.live(fleet.start(**WIDE))
    with fleet.store.transaction() as tx:
        device = tx.get_one(Device, "d20")
        device.profile = "rpi4"
        tx.add(device)
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**WIDE), salt="s", now=fleet.now).plan
    assert "d20" in planned.excluded


def test_a_finding_is_set_aside_by_the_number_of_its_rollout(fleet: SmallFleet) -> None:
    fleet.bad = set(fleet.names())
    rollout = fleet.start(**WIDE)
    fleet.live(rollout)
    with pytest.raises(KnownBad, match="all 24 devices that tried it failed"):
        fleet.start(**WIDE)
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**WIDE), salt="s", now=fleet.now, despite=[rollout]).plan
    assert not planned.problems
    assert any("is set aside" in one for one in planned.warnings)


def test_failures_that_an_operator_accepts_speak_against_nobody(fleet: SmallFleet) -> None:
    """A finding stands while its rollout is stopped by it, and no longer."""
    fleet.bad = set(BAD)
    rollout = fleet.start(
        **{**WIDE, "abort": [{"threshold": 0.1, "min_executed": DEVICES}], "success": {"percent": 50}}
    )
    assert fleet.live(rollout) == "PAUSED"
    found = finding(fleet, rollout)
    assert found is not None
    assert found.bad
    with fleet.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        row.status, row.pause, row.accepted_failures = "RUNNING", "", len(BAD)
        tx.add(row)
    assert fleet.live(rollout) == "COMPLETED"
    found = finding(fleet, rollout)
    assert found is not None
    assert not found.bad
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**WIDE), salt="s", now=fleet.now).plan
    assert "rollout 1 of these bytes had all 8 failures: profile rpi4" in planned.warnings[0]


def test_a_device_that_was_only_slow_says_nothing_of_the_release(fleet: SmallFleet) -> None:
    fleet.offline = {"d3"}
    rollout = fleet.start(
        waves=[{"name": "all", "bake": "2s"}],
        timeouts={"offer": "3s", "in_progress": "20s", "silence": "1h"},
        control={"percent": 0},
    )
    fleet.live(rollout)
    assert fleet.runs(rollout)["d3"].state == "TIMED_OUT"
    assert finding(fleet, rollout) is None


def test_the_first_failures_are_looked_at_once_not_in_every_tick(fleet: SmallFleet) -> None:
    fleet.bad = {"d0", "d1"}
    rollout = fleet.start(**{**WIDE, "abort": [{"threshold": 0.9, "min_executed": DEVICES}]})
    for _ in range(3):
        fleet.controller.tick()
        for device in fleet.names():
            fleet.answer(device)
        fleet.now += 1
    first = finding(fleet, rollout)
    assert first is not None
    fleet.now += 1
    fleet.controller.tick()
    again = finding(fleet, rollout)
    assert again is not None
    assert again.failed == first.failed == 2
    assert index_of("2.0.0") == again.index_sha256


def test_of_devices_where_it_failed_a_plan_names_only_its_own_that_the_class_does_not_cover(
    fleet: SmallFleet,
) -> None:
    fleet.bad = set(BAD)
    assert fleet.live(fleet.start(**WIDE)) == "ROLLED_BACK"

    def named() -> list[str]:
        with fleet.store.read() as tx:
            members = select(Membership.device).where(Membership.group == "all")
            (found,) = findings.against(tx, index_of("2.0.0"), within=members)
        return sorted(found.devices)

    assert named() == []  # all of them are rpi4
    with fleet.store.transaction() as tx:
        for device in ("d0", "d1"):
            tx.get_one(Device, device).profile = "rpi5"  # a new board under an old name
    assert named() == ["d0", "d1"]
    with fleet.store.transaction() as tx:
        groups.leave(tx, "all", ["d1"])
    assert named() == ["d0"]
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec_of(**WIDE), salt="s", now=fleet.now).plan
    assert sorted(planned.excluded) == sorted({*BAD} - {"d1"})
