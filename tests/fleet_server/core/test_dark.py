"""A release that kills devices leaves those that it did not kill, and of those all have succeeded
(rollouts 3.2, 3.4): silence after the switch, and what a person accepts of it."""

from __future__ import annotations

import pytest

from limosa_contracts.phases import Execution
from limosa_server.core.judging.replay import Outcome, Record, replay
from limosa_server.core.operate import resume
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, Fleet, spec_of

CANARY_OF_3: list[object] = [{"name": "canary", "count": 3, "bake": "0s"}, {"name": "rest", "bake": "0s"}]
SHORT = {"offer": "60s", "in_progress": "60s", "silence": "4s"}


def live(fleet: Fleet, seconds: int, *, killed: set[str], while_running: bool = True) -> None:
    """The release kills these as soon as they have switched to it."""
    for _ in range(seconds):
        fleet.run(1)
        for name in killed:
            if fleet.runs[name].step == "probation":
                fleet.cut(name)
                fleet.devices[name].steps = []
        if fleet.rollout.status is not RolloutStatus.RUNNING and while_running:
            return


def go_on(fleet: Fleet) -> None:
    fleet.rollout, waves, _ = resume(fleet.rollout, fleet.waves, now=fleet.now, by="eva")
    fleet.waves = list(waves)


def test_two_of_three_canaries_died_and_the_third_does_not_speak_for_them() -> None:
    """In a file without a word about silence; the wave once passed with 1 of 1 executed devices."""
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT), 9)
    live(fleet, 120, killed={"d0", "d1"})
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)
    assert fleet.rollout.reason.startswith(
        "2 of 3 devices were not heard of since they switched (wave canary)"
    )
    assert {device for _, device in fleet.offered} == {"d0", "d1", "d2"}
    (stop,) = [one for one in fleet.decisions if one.kind == "abort"]
    record = Record(
        kind=stop.kind,
        verdict=stop.verdict,
        sentence=stop.sentence,
        inputs_sha256=stop.inputs_sha256,
        numbers=stop.numbers,
    )
    assert replay(record).outcome is Outcome.SAME


def test_a_person_who_knows_that_somebody_pulled_the_plug_goes_on_and_they_follow_in_the_tail() -> None:
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT), 9)
    live(fleet, 120, killed={"d0", "d1"})
    go_on(fleet)
    assert "2 silent devices" in fleet.rollout.reason
    fleet.run(60)
    assert fleet.wave("rest").status is WaveStatus.SUCCEEDED
    for name in ("d0", "d1"):
        fleet.devices[name].running, fleet.devices[name].trying = "2.0.0", ""
        fleet.devices[name].phase = fleet.devices["d2"].phase
    fleet.mend("d0", "d1")
    assert fleet.run(120) is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 9}


def test_every_canary_died_and_the_operator_is_told_so_and_not_that_they_cannot_be_reached() -> None:
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT), 9)
    live(fleet, 120, killed={"d0", "d1", "d2"})
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)
    assert "3 of 3 devices were not heard of since they switched" in fleet.rollout.reason


def test_one_of_nine_that_was_unplugged_in_its_trial_stops_nobody() -> None:
    """3.5: one device more or less is what happens in every fleet."""
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "0s"}], timeouts=SHORT), 9)
    live(fleet, 60, killed={"d4"})
    assert fleet.wave("all").status is WaveStatus.SUCCEEDED
    assert fleet.runs["d4"].wave == 1


def test_devices_that_are_usually_away_for_longer_are_not_dark() -> None:
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT), 9)
    for name in ("d0", "d1"):
        fleet.devices[name].usual_gap_s = 8 * 3600.0
    live(fleet, 60, killed={"d0", "d1"})
    assert fleet.wave("canary").status is WaveStatus.SUCCEEDED


def test_the_file_says_how_much_silence_it_allows_and_what_follows() -> None:
    rule = {"failure": "silent", "threshold": 0.1, "action": "cancel"}
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT, abort=[rule]), 9)
    live(fleet, 120, killed={"d0", "d1"}, while_running=False)
    assert fleet.rollout.status is RolloutStatus.CANCELED
    fleet = Fleet(spec_of(waves=CANARY_OF_3, timeouts=SHORT, abort=[{**rule, "threshold": 0.5}]), 9)
    live(fleet, 60, killed={"d0", "d1"})
    assert fleet.wave("canary").status is WaveStatus.SUCCEEDED


def test_silence_that_was_accepted_is_accepted_and_another_device_is_not() -> None:
    """It was held against the number of failures, which was 0: each resume was a pause a second later."""
    rule = {"failure": "silent", "threshold": 0.1, "min_executed": 1}
    waves: list[object] = [{"name": "all", "bake": "0s"}]
    fleet = Fleet(spec_of(waves=waves, timeouts=SHORT, abort=[rule], rate={"max_in_progress": 3}), 9)
    live(fleet, 60, killed={"d0", "d1"})
    assert fleet.rollout.pause is Pause.GATE_FAILED
    go_on(fleet)
    fleet.run(3)
    assert fleet.rollout.status is RolloutStatus.RUNNING
    live(fleet, 60, killed={"d8"})
    assert fleet.rollout.pause is Pause.GATE_FAILED
    assert fleet.rollout.reason.startswith("3 of 9 devices were not heard of")


@pytest.mark.parametrize("kind", ["timed_out", "rolled_back"])
def test_failures_of_one_kind_that_were_accepted_do_not_excuse_another_kind(kind: str) -> None:
    """Four fell back and were accepted; the first that hangs is one of a rule that nobody has set aside."""
    rules = [
        {"failure": "rolled_back", "threshold": 0.1, "min_executed": 4},
        {"failure": "timed_out", "threshold": 0.01, "min_executed": 1},
    ]
    bad = {f"d{i}": FALLS_BACK for i in range(4)}
    fleet = Fleet(
        spec_of(
            waves=[{"name": "all", "bake": "0s"}],
            abort=rules,
            timeouts={"offer": "60s", "in_progress": "20s", "silence": "60s"},
            success={"percent": 10},
            rate={"max_in_progress": 1},
        ),
        8,
        behaviours={**bad, "d5": HANGS if kind == "timed_out" else FALLS_BACK},
    )
    fleet.run(200)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    assert sum(run.state is Execution.ROLLED_BACK for run in fleet.runs.values()) == 4
    go_on(fleet)
    fleet.run(200)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    assert kind.replace("_", " ") in fleet.rollout.reason
