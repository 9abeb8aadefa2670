"""Two rollouts and the same devices: rank, lanes, what was given to a device since (rollouts 2, 3.8, 6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import select

from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core import operate
from limosa_server.core.execution import Return
from limosa_server.core.planning.candidates import LeftOut
from limosa_server.fleet import groups
from limosa_server.fleet.departure import Departed, Departure
from limosa_server.rollouts import rollout_plan, withdrawing
from limosa_server.rollouts.rollout_rows import rollout_of, write_rollout
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.releases import Release
from tests.fleet_server.databases import Database
from tests.fleet_server.small_fleet import MODEL, SmallFleet, spec_of

ONE = [{"name": "all", "bake": "1s"}]
LONG = [{"name": "all", "bake": "1h"}]
NEXT = f"{MODEL}@3.0.0"


@pytest.fixture
def fleet(database: Database) -> Iterator[SmallFleet]:
    made = SmallFleet(database.place(), database.folder)
    yield made
    made.close()


def states(fleet: SmallFleet, rollout: int) -> dict[str, str]:
    return {device: run.state for device, run in sorted(fleet.runs(rollout).items())}


def goes_dark(fleet: SmallFleet, *names: str) -> None:
    fleet.offline.update(names)
    with fleet.store.transaction() as tx:
        for name in names:
            tx.get_one(Device, name).online = False


def cancel(fleet: SmallFleet, rollout: int, *, rollback: bool = False) -> None:
    with fleet.store.transaction() as tx:
        row = tx.get_one(type(fleet.row(rollout)), rollout)
        ended, _ = operate.cancel(rollout_of(row), now=fleet.now, by="eva", rollback=rollback)
        write_rollout(row, ended)
        tx.add(row)


def test_a_challenger_beside_takes_nothing_from_the_rollout_of_what_answers(fleet: SmallFleet) -> None:
    rollout = fleet.start(waves=ONE, target_selection="continuous", abort=[], rate={"max_in_progress": 1})
    fleet.controller.tick()
    beside = fleet.start(release=NEXT, waves=LONG, mode="shadow", abort=[], priority=9)
    fleet.controller.tick()
    assert fleet.row(beside).status == "RUNNING"
    assert "SUPERSEDED" not in states(fleet, rollout).values()
    assert fleet.row(rollout).follows, "nor the devices that join its group"
    fleet.live(rollout, seconds=20)
    assert set(states(fleet, rollout).values()) == {"SUCCEEDED"}


def test_a_completed_rollout_of_high_priority_keeps_its_stragglers_from_nobody(fleet: SmallFleet) -> None:
    """A hotfix was through but for one device that was away; a year of rollouts passed that device over."""
    goes_dark(fleet, "d3")
    hotfix = fleet.start(waves=ONE, priority=9, success={"reachable_within": "5s"})
    assert fleet.live(hotfix) == "COMPLETED"
    assert states(fleet, hotfix)["d3"] == "NOTIFIED"
    fleet.start(release=NEXT, waves=ONE, success={"reachable_within": "1h"})
    fleet.controller.tick()
    assert states(fleet, hotfix)["d3"] == "SUPERSEDED"


def test_undoing_a_rollout_leaves_devices_alone_that_a_later_one_has_brought_further(
    fleet: SmallFleet,
) -> None:
    """2.0.0 was through on d0 and d1, then 3.0.0 came to d1 and completed: undoing the first must not send
    d1 back to 1.0.0."""
    with fleet.store.transaction() as tx:
        groups.create(tx, "half", selector=None, description="", now=fleet.now, actor="test")
        groups.join(tx, "half", ["d1"], now=fleet.now)
    first = fleet.start(waves=LONG)
    fleet.live(first, seconds=6)
    second = fleet.start(release=NEXT, group="half", waves=ONE)
    assert fleet.live(second) == "COMPLETED"
    cancel(fleet, first, rollback=True)
    fleet.live(first, seconds=60)
    assert fleet.running() == {"d0": "1.0.0", "d1": "3.0.0", "d2": "1.0.0", "d3": "1.0.0"}


def test_a_device_on_its_way_back_that_a_newer_rollout_takes_is_waited_for_no_more(fleet: SmallFleet) -> None:
    """3.8: a newer desired state supersedes. The older one waited out its clocks, and called it stuck."""
    first = fleet.start(waves=LONG)
    fleet.live(first, seconds=4)
    goes_dark(fleet, "d2")
    cancel(fleet, first, rollback=True)
    fleet.live(first, seconds=5)
    assert fleet.row(first).status == "ROLLING_BACK"
    fleet.start(release=NEXT, waves=ONE)
    fleet.live(first, seconds=5)
    assert fleet.row(first).status == "ROLLED_BACK"


def test_what_speaks_against_a_release_does_so_still_when_its_rollout_is_canceled(fleet: SmallFleet) -> None:
    """3.9: a gate had stopped it, somebody cleaned up with a cancel, and the next plan knew of nothing."""
    fleet.bad = {"d0", "d1", "d2", "d3"}
    rollout = fleet.start(abort=[{"threshold": 0.1, "min_executed": 1, "action": "pause"}])
    assert fleet.live(rollout) == "PAUSED"
    cancel(fleet, rollout)
    assert fleet.live(rollout) == "CANCELED"
    with fleet.store.read() as tx:
        assert tx.get_one(FindingRow, rollout).bad


def test_whom_the_database_rules_out_at_plan_time(fleet: SmallFleet) -> None:
    """Revoked, in its group all the same; and one that has the release in its own quarantine."""
    spec: RolloutSpec = spec_of(waves=ONE)
    with fleet.store.transaction() as tx:
        tx.get_one(Device, "d1").state = "revoked"
        release = tx.exec(select(Release).where(Release.version == "2.0.0")).one()
        tx.get_one(DeviceModel, ("d2", MODEL)).quarantined = [release.index_sha256]
        tx.get_one(DeviceModel, ("d3", MODEL)).quarantined = ["cd" * 32]
    with fleet.store.read() as tx:
        planned = rollout_plan.make(tx, spec, salt="s", now=fleet.now).plan
    assert {name: one.kind for name, one in planned.excluded.items()} == {
        "d1": LeftOut.NOT_ACTIVE,
        "d2": LeftOut.KNOWN_BAD,
    }


def test_a_device_that_is_decommissioned_leaves_what_has_ended_as_it_ended(fleet: SmallFleet) -> None:
    """And in what has not, it is neither waited for nor sent back."""
    done = fleet.start(waves=ONE)
    assert fleet.live(done) == "COMPLETED"
    under_way = fleet.start(release=NEXT, waves=LONG, rate={"max_in_progress": 1})
    fleet.live(under_way, seconds=3)
    open_ones = [name for name, state in states(fleet, under_way).items() if state == "QUEUED"]
    before = {name: run.returning for name, run in fleet.runs(done).items()}
    with fleet.store.transaction() as tx:
        for device in ("d0", open_ones[-1]):
            gone = Departure(device=device, how=Departed.DECOMMISSIONED, reason="sold", at=fleet.now)
            withdrawing.on_leaving(tx, gone)
    assert {name: run.returning for name, run in fleet.runs(done).items()} == before
    assert fleet.runs(under_way)["d0"].returning == Return.NOT_NEEDED.value
    assert states(fleet, under_way)[open_ones[-1]] == "REMOVED"


def test_a_canceled_rollout_does_not_wait_for_a_device_that_was_decommissioned_to_go_back(
    fleet: SmallFleet,
) -> None:
    """It had been offered the release and was never heard of again: its page said "on the way back: 1 sent"
    for ever."""
    rollout = fleet.start(waves=ONE)
    fleet.offline = {"d0"}
    fleet.live(rollout, seconds=3)
    cancel(fleet, rollout)
    fleet.live(rollout, seconds=3)
    assert fleet.row(rollout).status == "CANCELED"
    assert fleet.runs(rollout)["d0"].returning == Return.SENT.value
    with fleet.store.transaction() as tx:
        gone = Departure(device="d0", how=Departed.DECOMMISSIONED, reason="sold", at=fleet.now)
        withdrawing.on_leaving(tx, gone)
    assert fleet.runs(rollout)["d0"].returning == Return.NOT_NEEDED.value
    fleet.check_counts()
    assert fleet.row(rollout).status == "CANCELED"


def test_a_device_that_is_only_revoked_stays_in_its_rollouts(fleet: SmallFleet) -> None:
    """It may be let in again, and then takes up where it was."""
    rollout = fleet.start(waves=LONG, rate={"max_in_progress": 1})
    fleet.controller.tick()
    before = states(fleet, rollout)
    with fleet.store.transaction() as tx:
        for device in ("d0", "d3"):
            gone = Departure(device=device, how=Departed.REVOKED, reason="lost", at=fleet.now)
            assert withdrawing.on_leaving(tx, gone) == {}
    assert states(fleet, rollout) == before
