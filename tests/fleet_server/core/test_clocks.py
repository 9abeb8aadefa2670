"""Clocks: two for each device, limits on parts of the second, an end for the whole (rollouts 3.4, 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_contracts.phases import Execution, Phase
from limosa_contracts.rollout.timeouts import Timeouts
from limosa_server.core import operate
from limosa_server.core.execution import DeviceExecution, ExecutionEvent
from limosa_server.core.offers import too_late
from limosa_server.core.rollout import RolloutStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, Fleet, spec_of

ONE = [{"name": "all", "bake": "0s"}]
CLOCKS = Timeouts(offer_s=100, in_progress_s=1000, download_stall_s=50, verify_s=30)


def at_step(*steps: tuple[float, str]) -> DeviceExecution:
    run = DeviceExecution(device="d", wave=0, state=Execution.NOTIFIED, offered_at=0.0, clock_from=0.0)
    for now, step in steps:
        run = run.after(ExecutionEvent.PROGRESS, now=now, step=step)
    return run


@pytest.mark.parametrize(
    "steps, now, says",
    [
        ([], 100.0, ""),
        ([], 101.0, "did not begin within 100s"),
        ([(10.0, "downloading")], 60.0, ""),
        ([(10.0, "downloading")], 61.0, "was downloading still after 50s"),
        ([(10.0, "downloading"), (20.0, "staged")], 50.0, ""),
        ([(10.0, "downloading"), (20.0, "staged"), (45.0, "self_testing")], 51.0, "was self_testing"),
        ([(10.0, "downloading"), (20.0, "staged"), (25.0, "waiting_for_window")], 9e9, ""),
        (
            [(10.0, "downloading"), (20.0, "waiting_for_window"), (86420.0, "self_testing")],
            86450.0,
            "",
        ),
        (
            [(10.0, "downloading"), (20.0, "waiting_for_window"), (86420.0, "self_testing")],
            86451.0,
            "was self_testing still after 30s",
        ),
    ],
)
def test_each_clock_runs_over_its_own_part_and_none_while_a_window_is_waited_for(
    steps: list[tuple[float, str]], now: float, says: str
) -> None:
    found = too_late(at_step(*steps), CLOCKS, now=now)
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_the_whole_clock_does_not_count_the_night_that_a_device_waited_for_its_window() -> None:
    run = at_step((0.0, "downloading"), (900.0, "waiting_for_window"), (80_000.0, "activating"))
    plain = replace(CLOCKS, download_stall_s=None, verify_s=None)
    assert too_late(run, plain, now=80_100.0) == ""
    assert "1000s" in too_late(run, plain, now=80_101.0).replace("16m 40s", "1000s")


def test_a_device_that_is_back_has_its_time_anew() -> None:
    run = replace(at_step((10.0, "downloading")), clock_from=500.0)  # as after an absence until 500
    assert too_late(run, CLOCKS, now=550.0) == ""


def test_when_the_time_of_a_rollout_is_over_those_at_it_may_finish() -> None:
    """timeouts.end with at_end = stop."""
    spec = spec_of(
        waves=ONE, rate={"maximum_per_minute": 2}, timeouts={"end": "61s", "at_end": "stop", "silence": "5s"}
    )
    fleet = Fleet(spec, 9)
    assert fleet.run(300) is RolloutStatus.CANCELED
    assert fleet.running() == {"1.0.0": 5, "2.0.0": 4}, "the two that were offered it last finished"
    assert sum(run.state is Execution.CANCELED for run in fleet.runs.values()) == 5
    assert [one.sentence for one in fleet.decisions if one.kind == "ended"] == ["its time is over: 61s"]


def test_or_are_told_to_stay_with_what_they_run() -> None:
    """timeouts.end with at_end = cancel."""
    spec = spec_of(
        waves=ONE,
        rate={"maximum_per_minute": 2},
        timeouts={"end": "61s", "at_end": "cancel", "silence": "5s"},
    )
    fleet = Fleet(spec, 9)
    fleet.run(63)
    assert fleet.rollout.status is RolloutStatus.CANCELED
    assert all(run.state.terminal for run in fleet.runs.values())
    for _ in range(8):
        fleet.work()
    assert fleet.running() == {"1.0.0": 7, "2.0.0": 2}


def test_a_stop_waits_for_nobody_who_cannot_be_reached() -> None:
    spec = spec_of(waves=ONE, timeouts={"end": "3s", "silence": "5s", "in_progress": "60s"})
    fleet = Fleet(spec, 2, behaviours={"d0": HANGS})
    fleet.run(2)
    fleet.cut("d0")
    assert fleet.run(30) is RolloutStatus.CANCELED
    assert fleet.runs["d0"].state is Execution.CANCELED


@pytest.mark.parametrize(
    "phase, running",
    [(None, "1.0.0"), (Phase.DOWNLOADING, "1.0.0"), (Phase.PROBATION, "1.0.0"), (Phase.COMMITTED, "2.0.0")],
    ids=["queued", "downloading", "in probation", "committed"],
)
def test_what_a_cancel_means_for_a_device_depends_on_how_far_it_is(phase: Phase | None, running: str) -> None:
    spec = spec_of(waves=[{"name": "all", "bake": "1h"}], rate={"maximum_per_minute": 1})
    fleet = Fleet(spec, 2)
    while phase is not None and fleet.devices["d0"].phase is not phase:
        fleet.run(1)
    fleet.rollout, _ = operate.cancel(fleet.rollout, now=fleet.now, by="eva")
    assert fleet.run(5) is RolloutStatus.CANCELED
    for _ in range(8):
        fleet.work()
    assert fleet.devices["d0"].running == running
    assert fleet.devices["d1"].running == "1.0.0"
    assert fleet.runs["d0"].state is (Execution.SUCCEEDED if phase is Phase.COMMITTED else Execution.CANCELED)


def test_who_stopped_softly_may_still_end_it_at_once() -> None:
    fleet = Fleet(spec_of(waves=ONE), 2, behaviours={"d0": HANGS})
    fleet.run(2)
    fleet.rollout, _ = operate.cancel(fleet.rollout, now=fleet.now, by="eva", finish=True)
    assert fleet.run(20) is RolloutStatus.CANCELING
    fleet.rollout, _ = operate.cancel(fleet.rollout, now=fleet.now, by="eva")
    assert fleet.run(2) is RolloutStatus.CANCELED
    assert fleet.runs["d0"].state is Execution.CANCELED


def test_a_device_that_committed_before_the_cancel_reached_it_and_may_not_go_back_is_named() -> None:
    """Its reported version overrides what the server asked for (3.1); it is not waited for in vain."""
    fleet = Fleet(spec_of(waves=ONE), 1)
    while fleet.devices["d0"].phase is not Phase.PROBATION:
        fleet.run(1)
    fleet.rollout, _ = operate.cancel(fleet.rollout, now=fleet.now, by="eva")
    fleet.tick()
    device = fleet.devices["d0"]
    assert fleet.runs["d0"].returning.value == "sent"
    device.running, device.trying, device.steps = "2.0.0", "", []
    device.accepted, device.phase = device.document, Phase.REJECTED  # it refuses the downgrade
    fleet.work()
    assert fleet.runs["d0"].returning.value == "stuck"
    assert fleet.runs["d0"].state is Execution.CANCELED


def test_failures_still_count_while_a_stopped_rollout_ends() -> None:
    spec = spec_of(waves=ONE, timeouts={"end": "2s", "silence": "5s"}, abort=[])
    fleet = Fleet(spec, 2, behaviours={"d0": FALLS_BACK})
    assert fleet.run(60) is RolloutStatus.CANCELED
    assert fleet.runs["d0"].state is Execution.ROLLED_BACK
