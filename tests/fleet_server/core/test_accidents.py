"""Others' accidents, which must not be ours (rollouts 3)."""

from __future__ import annotations

import random

import pytest

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import check_version
from limosa_contracts.phases import Execution, Phase
from limosa_contracts.rollout.abort import AbortRule
from limosa_server.core.counts import Counts
from limosa_server.core.execution import ExecutionEvent, on_phase
from limosa_server.core.judging import gate
from limosa_server.core.operate import resume
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, LATE, REJECTS, Fleet, spec_of

THREE = [
    {"name": "canary", "count": 1, "bake": "5s"},
    {"name": "half", "percent": 50, "bake": "5s"},
    {"name": "rest", "bake": "5s"},
]
SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}
STRICT = [{"failure": "all", "threshold": 0.1, "min_executed": 1, "action": "rollback"}]


def test_a_good_release_reaches_everyone_wave_by_wave() -> None:
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT))
    assert fleet.run(120) is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 6}
    assert fleet.promoted
    assert [wave.status for wave in fleet.waves] == [WaveStatus.SUCCEEDED] * 4
    assert [d.wave for d in fleet.decisions if d.kind == "wave_started"] == [0, 1, 2]


def test_the_canary_falls_back_and_nobody_else_is_offered_the_release() -> None:
    fleet = Fleet(spec_of(waves=THREE, abort=STRICT, timeouts=SHORT), behaviours={"d0": FALLS_BACK})
    assert fleet.run(120) is RolloutStatus.ROLLED_BACK
    assert fleet.running() == {"1.0.0": 6}
    assert {device for _, device in fleet.offered} == {"d0"}
    assert fleet.runs["d0"].state is Execution.ROLLED_BACK


def test_a_release_rejected_by_its_golden_vectors_is_rolled_back_without_a_switch() -> None:
    fleet = Fleet(spec_of(waves=THREE, abort=STRICT, timeouts=SHORT), behaviours={"d0": REJECTS})
    assert fleet.run(120) is RolloutStatus.ROLLED_BACK
    assert fleet.runs["d0"].state is Execution.REJECTED


def test_fifty_failures_of_fifty_stop_a_rollout_over_a_thousand() -> None:
    """3.2: rates are of executed devices; 5 % of the whole wave would not have stopped it."""
    bad = {f"d{i}": FALLS_BACK for i in range(1000)}
    spec = spec_of(waves=[{"name": "all"}], rate={"maximum_per_minute": 50}, timeouts=SHORT)
    fleet = Fleet(spec, 1000, behaviours=bad)
    fleet.run(30)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)
    assert len(fleet.offered) <= 50


def test_a_wave_that_finished_below_its_threshold_does_not_start_the_next() -> None:
    """3.2, where no abort rule is given at all."""
    waves = [{"name": "first", "count": 3, "bake": "0s"}, {"name": "rest"}]
    fleet = Fleet(spec_of(waves=waves, abort=[], timeouts=SHORT), behaviours={"d1": FALLS_BACK})
    assert fleet.run(60) is RolloutStatus.FAILED
    assert fleet.wave("rest").status is WaveStatus.PENDING
    assert fleet.runs["d5"].state is Execution.CANCELED
    assert fleet.running() == {"1.0.0": 4, "2.0.0": 2}


def test_a_wave_with_too_few_successes_to_tell_does_not_start_the_next() -> None:
    """3.2, 5.4: all of its executed devices succeeded, and they were fewer than the file asks for."""
    waves = [{"name": "canary", "count": 4, "bake": "5s"}, {"name": "rest", "bake": "5s"}]
    fleet = Fleet(spec_of(waves=waves, success={"min_succeeded": 4}, timeouts=SHORT), 8)
    fleet.cut("d1", "d2")
    fleet.now += 10
    fleet.run(120)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.INCONCLUSIVE)
    assert fleet.wave("canary").status is WaveStatus.INCONCLUSIVE
    assert {device for _, device in fleet.offered} == {"d0", "d3"}
    fleet.rollout, waves_after, _ = resume(fleet.rollout, fleet.waves, now=fleet.now, by="eva")
    fleet.waves = list(waves_after)
    fleet.run(3)
    assert {f"d{i}" for i in range(4, 8)} <= {device for _, device in fleet.offered}, (
        "a person takes it as passed"
    )


def test_success_is_running_and_committed_not_written_to_disk() -> None:
    """3.1: COMMITTED alone, without the version reported running, is not yet a success."""
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 1)
    fleet.tick()
    run = on_phase(fleet.runs["d0"], Phase.COMMITTED, running=False, reason="", code="", now=1.0)
    assert (run.state, run.committed) == (Execution.IN_PROGRESS, True)
    run = on_phase(run, Phase.COMMITTED, running=True, reason="", code="", now=2.0)
    assert run.state is Execution.SUCCEEDED


def test_a_lost_succeeded_is_inferred_from_the_reported_version() -> None:
    """3.8: every single event is lost; only the reported state arrives."""
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT), lose=1.0)
    assert fleet.run(120) is RolloutStatus.COMPLETED


def test_the_server_gave_up_on_a_device_that_then_reports_the_new_version() -> None:
    """3.1: the device's reported version overrides what the server believes."""
    spec = spec_of(
        waves=[{"name": "all", "bake": "60s"}],
        abort=[],
        timeouts={"offer": "1s", "in_progress": "1s", "silence": "500s"},
    )
    fleet = Fleet(spec, 1)
    fleet.devices["d0"].behaviour = HANGS
    fleet.run(6)
    assert fleet.runs["d0"].step == "timed_out"
    fleet.devices["d0"].behaviour = "good"
    fleet.devices["d0"].steps = []
    fleet.devices["d0"].running, fleet.devices["d0"].trying = "2.0.0", ""
    fleet.devices["d0"].phase = Phase.COMMITTED
    fleet.work()
    assert fleet.runs["d0"].state is Execution.SUCCEEDED


def test_one_device_that_hangs_blocks_nobody_for_longer_than_its_clock() -> None:
    """3.4, 3.8."""
    fleet = Fleet(
        spec_of(waves=[{"name": "all", "bake": "0s"}], success={"percent": 80}, timeouts=SHORT),
        behaviours={"d3": HANGS},
    )
    assert fleet.run(120) is RolloutStatus.COMPLETED
    assert fleet.runs["d3"].state is Execution.TIMED_OUT
    assert "self_testing" in fleet.runs["d3"].reason


def test_devices_that_are_away_go_to_the_tail_and_converge_when_they_return() -> None:
    """3.5: the rollout waits for them, gated, and completes."""
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT))
    fleet.cut("d2", "d5")
    fleet.run(120)
    assert fleet.rollout.status is RolloutStatus.RUNNING
    assert fleet.wave("tail").status is WaveStatus.IN_PROGRESS
    assert {run.device for run in fleet.runs.values() if run.wave == 3} == {"d2", "d5"}
    assert fleet.running() == {"1.0.0": 2, "2.0.0": 4}
    fleet.mend("d2", "d5")
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 6}


def test_a_device_cut_off_in_the_middle_of_its_update_is_waited_for_in_the_tail() -> None:
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT))
    while fleet.runs["d0"].state is not Execution.IN_PROGRESS:
        fleet.run(1)
    fleet.cut("d0")
    fleet.run(20)
    assert fleet.wave("canary").status is WaveStatus.IN_PROGRESS, "nobody else is in the canary: it waits"
    assert "can be reached" in fleet.rollout.reason
    fleet.mend("d0")
    assert fleet.run(120) is RolloutStatus.COMPLETED


def test_devices_away_for_too_long_are_stragglers_that_follow_after_the_end() -> None:
    spec = spec_of(waves=THREE, timeouts=SHORT, success={"reachable_within": "20s"})
    fleet = Fleet(spec)
    fleet.cut("d4")
    assert fleet.run(200) is RolloutStatus.COMPLETED
    assert fleet.rollout.stragglers == 1
    fleet.mend("d4")
    for _ in range(8):
        fleet.work()
    assert fleet.running() == {"2.0.0": 6}
    assert fleet.runs["d4"].state is Execution.SUCCEEDED
    fleet.check()


def test_everyone_is_away_and_an_empty_wave_blocks() -> None:
    """3.2: too little data is never a pass."""
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT))
    fleet.cut(*fleet.devices)
    fleet.now += 10
    fleet.run(300)
    assert fleet.rollout.status is RolloutStatus.RUNNING
    assert fleet.wave("canary").status is WaveStatus.IN_PROGRESS
    assert fleet.offered == []


def test_no_clock_runs_while_a_device_is_away() -> None:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 3)
    fleet.tick()
    fleet.cut("d1")
    fleet.run(300)
    assert not fleet.runs["d1"].state.terminal
    fleet.mend("d1")
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.runs["d1"].state is Execution.SUCCEEDED


def test_a_device_that_falls_back_while_its_wave_bakes_stops_the_rollout() -> None:
    waves = [{"name": "canary", "count": 1, "bake": "20s"}, {"name": "rest"}]
    fleet = Fleet(spec_of(waves=waves, abort=STRICT, timeouts=SHORT), behaviours={"d0": LATE})
    assert fleet.run(120) is RolloutStatus.ROLLED_BACK
    assert {device for _, device in fleet.offered} == {"d0"}


def test_devices_that_had_committed_go_back_when_a_later_wave_fails() -> None:
    bad = {f"d{i}": FALLS_BACK for i in range(1, 6)}
    fleet = Fleet(spec_of(waves=THREE, abort=STRICT, timeouts=SHORT), behaviours=bad)
    assert fleet.run(200) is RolloutStatus.ROLLED_BACK
    assert fleet.running() == {"1.0.0": 6}
    assert fleet.runs["d0"].state is Execution.SUCCEEDED, "its outcome stays on the record"


def test_a_device_whose_release_forbids_the_return_leaves_the_rollback_incomplete() -> None:
    """trust 2.4: the server does not ask for what the device must refuse."""
    bad = {f"d{i}": FALLS_BACK for i in range(1, 6)}
    fleet = Fleet(spec_of(waves=THREE, abort=STRICT, timeouts=SHORT), behaviours=bad, may_return_to=())
    assert fleet.run(200) is RolloutStatus.ROLLBACK_INCOMPLETE
    assert fleet.running() == {"1.0.0": 5, "2.0.0": 1}
    assert "does not allow" in fleet.runs["d0"].reason


def test_a_device_that_is_away_during_the_rollback_is_waited_for() -> None:
    bad = {f"d{i}": FALLS_BACK for i in range(1, 6)}
    fleet = Fleet(spec_of(waves=THREE, abort=STRICT, timeouts=SHORT), behaviours=bad)
    while fleet.wave("half").status is not WaveStatus.IN_PROGRESS:
        fleet.run(1)
    fleet.cut("d0")
    fleet.run(60)
    assert fleet.rollout.status is RolloutStatus.ROLLING_BACK
    fleet.mend("d0")
    assert fleet.run(60) is RolloutStatus.ROLLED_BACK
    assert fleet.running() == {"1.0.0": 6}


def test_an_accepted_failure_does_not_stop_the_rollout_again_but_another_one_does() -> None:
    abort = [{"threshold": 0.1, "min_executed": 1, "action": "pause"}]
    waves = [{"name": "all", "bake": "0s"}]
    spec = spec_of(
        waves=waves,
        abort=abort,
        timeouts=SHORT,
        success={"percent": 10},
        rate={"max_in_progress": 1},
    )
    fleet = Fleet(spec, behaviours={"d0": FALLS_BACK, "d4": FALLS_BACK})
    fleet.run(60)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    fleet.rollout, waves_after, _ = resume(fleet.rollout, fleet.waves, now=fleet.now, by="eva")
    fleet.waves = list(waves_after)
    fleet.run(60)
    assert fleet.rollout.status is RolloutStatus.PAUSED
    assert sum(run.state.failed for run in fleet.runs.values()) == 2


def test_a_device_that_already_runs_the_release_is_through_at_once() -> None:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 2)
    fleet.devices["d0"].running = "2.0.0"
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.runs["d0"].state is Execution.ALREADY_INSTALLED


def test_the_first_release_of_all_reaches_devices_that_ran_nothing() -> None:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), start_version="")
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 6}


@pytest.mark.parametrize("per_minute", [1, 7])
def test_no_more_devices_than_the_rate_are_offered_it_in_any_minute(per_minute: int) -> None:
    """3.10; the fleet checks the window after every tick."""
    spec = spec_of(waves=[{"name": "all"}], rate={"maximum_per_minute": per_minute}, timeouts=SHORT)
    fleet = Fleet(spec, 30)
    fleet.run(150)
    assert len(fleet.offered) == 3 * per_minute


def test_no_version_is_ever_blank_where_a_device_reports_one() -> None:
    """3.1, hawkBit #1399: the installed version of a target was an empty text."""
    fleet = Fleet(spec_of(waves=THREE, timeouts=SHORT))
    fleet.run(120)
    assert {run.from_version for run in fleet.runs.values()} == {"1.0.0"}
    for text in ("", " ", "latest "):
        with pytest.raises(InvalidField):
            check_version(text)


def test_a_device_that_runs_another_version_than_the_server_believes_is_believed() -> None:
    """3.1, hawkBit #446: after a manual update the server went on showing what it had assigned."""
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 2)
    fleet.devices["d0"].running = "2.0.0"  # somebody was there with a stick
    fleet.devices["d0"].phase = Phase.COMMITTED
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.runs["d0"].state is Execution.ALREADY_INSTALLED


def test_a_rollout_at_three_percent_is_almost_never_stopped_and_one_at_twenty_soon_is() -> None:
    """3.3: the lower Wilson bound against a threshold of 10 %, simulated; seeded."""
    rule = AbortRule(threshold=0.10)

    def stopped_after(rate: float, seed: int) -> int | None:
        rng, failed = random.Random(seed), 0
        for executed in range(1, 201):
            failed += rng.random() < rate
            counts = Counts({Execution.ROLLED_BACK: failed, Execution.SUCCEEDED: executed - failed})
            if gate.evaluate(rule, 0, counts, silent=0, group=200, scope="all") is not None:
                return executed
        return None

    false = sum(stopped_after(0.03, seed) is not None for seed in range(400)) / 400
    caught = sorted(found for seed in range(400) if (found := stopped_after(0.20, seed)) is not None)
    assert false < 0.03, "ten percent after ten devices would stop three in ten"
    assert len(caught) > 380
    assert caught[len(caught) // 2] <= 25


def test_a_fleet_that_is_offline_half_the_time_is_neither_blocked_nor_called_silent() -> None:
    """3.4, 3.5: half of the devices are away at any moment; everybody converges, nobody is a failure."""
    spec = spec_of(
        waves=THREE,
        timeouts={"offer": "60s", "in_progress": "60s", "silence": "4s"},
        abort=[{"failure": "silent", "threshold": 0.1, "min_executed": 1}, *STRICT],
        success={"reachable_within": "10m"},
    )
    fleet = Fleet(spec, 8)
    for device in fleet.devices.values():
        device.usual_gap_s = 20.0
    rng = random.Random(3)
    for _ in range(900):
        for device in fleet.devices.values():
            if rng.random() < 0.05:
                device.online = not device.online
        fleet.run(1)
        if fleet.rollout.status.terminal:
            break
    fleet.mend(*fleet.devices)
    for _ in range(20):
        fleet.work()
        fleet.now += 1
    assert fleet.rollout.status is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 8}
    assert not any(run.state.failed for run in fleet.runs.values())


def test_progress_makes_no_rows_and_moves_no_counter() -> None:
    """3.7, hawkBit #1249: each chunk of a download was an action status, until the quota refused the last.
    One execution is one row; a step without a change of state leaves the counters alone."""
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 1)
    fleet.tick()
    run = fleet.runs["d0"]
    for i in range(1000):
        after = on_phase(run, Phase.DOWNLOADING, running=False, reason="", code="", now=float(i))
        assert i == 0 or after is run
        run = after
    assert run.state is Execution.IN_PROGRESS


def test_a_newer_desired_state_takes_a_device_that_is_stuck() -> None:
    """3.8: what hangs in an older rollout does not keep a device from the next one."""
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}]), 2, behaviours={"d0": HANGS})
    fleet.run(10)
    stuck = fleet.runs["d0"]
    assert stuck.state is Execution.IN_PROGRESS
    taken = stuck.after(ExecutionEvent.SUPERSEDE, now=fleet.now, step="superseded", reason="rollout 2")
    fleet._save(taken)  # as rollout 2 does when it starts
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert on_phase(taken, Phase.COMMITTED, running=True, reason="", code="", now=99.0) is not taken
    late = on_phase(taken, Phase.COMMITTED, running=True, reason="", code="", now=99.0)
    assert late.state is Execution.SUPERSEDED


def test_a_thousand_devices_that_come_back_at_once_are_not_offered_it_at_once() -> None:
    """3.10: the herd after a power cut; the rate holds in every window of a minute."""
    spec = spec_of(waves=[{"name": "all", "bake": "0s"}], rate={"maximum_per_minute": 100}, timeouts=SHORT)
    fleet = Fleet(spec, 1000)
    fleet.cut(*(f"d{i}" for i in range(1, 1000)))
    fleet.now += 10
    fleet.run(30, step=5)
    fleet.mend(*fleet.devices)
    fleet.run(110, step=5)
    assert 100 <= len(fleet.offered) <= 300
