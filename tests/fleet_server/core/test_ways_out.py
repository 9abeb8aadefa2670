"""Cancel, stop and the way back, phase by phase: who is told, who is left alone, who is waited for
(rollouts 2, 3.4, 3.5, 3.8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_contracts.errors import Conflict
from limosa_contracts.phases import Execution
from limosa_contracts.reported import ReportedModel
from limosa_server.core import operate
from limosa_server.core.execution import DeviceExecution, Return, on_way_back
from limosa_server.core.rollout import RolloutStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, Fleet, index_of, spec_of

ONE = [{"name": "all", "bake": "0s"}]
SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}
BACK = {"on_failure": {"rollback": "all"}, "abort": [{"threshold": 0.1, "min_executed": 1}]}


def cancel(fleet: Fleet, *, rollback: bool = False, finish: bool = False) -> None:
    fleet.rollout, _ = operate.cancel(
        fleet.rollout, now=fleet.now, by="eva", rollback=rollback, finish=finish
    )


def test_a_device_that_was_never_offered_the_release_is_told_nothing_when_it_is_canceled() -> None:
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT, rate={"max_in_progress": 2}))
    fleet.run(1)
    offered = {device for _, device in fleet.offered}
    assert len(offered) == 2
    cancel(fleet)
    assert fleet.run(5) is RolloutStatus.CANCELED
    assert {run.device for run in fleet.runs.values() if run.returning is not Return.NONE} == offered
    assert {name for name, device in fleet.devices.items() if device.document} == offered


def test_who_ran_the_release_before_the_rollout_stays_on_it_when_it_is_rolled_back() -> None:
    """What it would go back to is the release itself."""
    bad = {f"d{i}": FALLS_BACK for i in range(1, 6)}
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT, **BACK), behaviours=bad)
    fleet.devices["d0"].running = "2.0.0"
    fleet.tick()
    assert fleet.runs["d0"].state is Execution.ALREADY_INSTALLED
    document = fleet.devices["d0"].document
    fleet.run(10)
    assert fleet.rollout.status is RolloutStatus.PAUSED
    cancel(fleet, rollback=True)
    assert fleet.run(60) is RolloutStatus.ROLLED_BACK
    assert fleet.runs["d0"].returning is Return.NOT_NEEDED
    assert (fleet.devices["d0"].document, fleet.running()["2.0.0"]) == (document, 1)


def test_a_device_that_has_committed_and_not_said_so_in_full_asks_whether_it_may_return() -> None:
    """Its commit is known, its report of what runs is not: it is not one that never left the old version
    (trust 2.4)."""
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT), 1, behaviours={"d0": HANGS}, may_return_to=())
    fleet.run(3)
    fleet.runs["d0"] = replace(fleet.runs["d0"], committed=True)
    cancel(fleet, rollback=True)
    assert fleet.run(20) is RolloutStatus.ROLLBACK_INCOMPLETE
    assert fleet.runs["d0"].returning is Return.STUCK
    assert "does not allow a return to 1.0.0" in fleet.runs["d0"].reason


def test_a_stop_does_not_wait_for_devices_that_went_away() -> None:
    """Those at it may finish, and one of them was switched off: the rollout was CANCELING for a week."""
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT, rate={"max_in_progress": 2}))
    fleet.run(1)
    gone, there = sorted(device for _, device in fleet.offered)
    fleet.cut(gone)
    cancel(fleet, finish=True)
    assert fleet.run(30) is RolloutStatus.CANCELED
    assert fleet.runs[there].state is Execution.SUCCEEDED
    assert fleet.runs[gone].state is Execution.CANCELED
    assert len(fleet.offered) == 2


def test_a_stop_may_become_a_cancel_and_nothing_else() -> None:
    """Who asks for the way back while devices finish is told that it cannot be had, and not given less."""
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT), behaviours={"d0": HANGS})
    fleet.run(2)
    with pytest.raises(Conflict):
        cancel(fleet, rollback=True, finish=True)
    cancel(fleet, finish=True)
    for asked in ({"rollback": True}, {"finish": True}):
        with pytest.raises(Conflict):
            cancel(fleet, **asked)
    assert fleet.rollout.stopping
    cancel(fleet)
    assert not fleet.rollout.stopping


def test_a_device_that_has_not_seen_the_order_has_not_come_back() -> None:
    """It still runs the old version because it has not begun with the new one: it will, as it was told."""
    run = DeviceExecution(
        device="d0", wave=0, state=Execution.CANCELED, returning=Return.SENT, return_version="1.0.0",
        return_index=index_of("1.0.0"), document=(1, 7),
    )  # fmt: skip
    said = ReportedModel.parse(
        {
            "model": "demo/motion", "phase": "COMMITTED", "rollout": "", "attempt": 1,
            "active": {"version": "1.0.0", "index_sha256": index_of("1.0.0"),
                       "manifest_sha256": index_of("1.0.0"), "variant": "int8"},
        },
        where="said",
    )  # fmt: skip
    new = index_of("2.0.0")
    for seen, returned in (((1, 6), False), ((0, 9), False), ((1, 7), True), ((2, 0), True)):
        after = on_way_back(run, said, seen=seen, index_sha256=new)
        assert (after.returning is Return.RETURNED) == returned, seen
    assert on_way_back(replace(run, document=(0, 0)), said, seen=(9, 9), index_sha256=new).returning is (
        Return.SENT
    ), "no document has carried the order yet"


def test_a_device_that_runs_the_release_already_costs_no_bytes() -> None:
    """One of 5,000 bytes at 100 a second is 50 s for those who fetch it, and nothing for who has it."""
    fleet = Fleet(spec_of(waves=ONE, rate={"max_bytes_per_second": 100}, timeouts=SHORT), 3)
    fleet.runs = {name: replace(run, size_bytes=5_000) for name, run in fleet.runs.items()}
    fleet.devices["d0"].running = "2.0.0"
    fleet.tick()
    assert [device for _, device in fleet.offered][:2] == ["d0", "d1"]
