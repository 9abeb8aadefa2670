"""What a file may say and nobody needs to: each choice, and what happens without it (rollouts 4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_server.core.judging.explain import what_next
from limosa_server.core.operate import resume
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import FALLS_BACK, HANGS, LATE, Fleet, spec_of

SHORT = {"offer": "60s", "in_progress": "2h", "silence": "4s"}


def test_a_wave_that_is_followed_by_a_person_waits_for_that_person() -> None:
    waves = [{"name": "canary", "count": 1, "bake": "2s", "then": "pause"}, {"name": "rest", "bake": "2s"}]
    fleet = Fleet(spec_of(waves=waves, timeouts=SHORT))
    fleet.run(120)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.MANUAL)
    assert fleet.wave("canary").status is WaveStatus.SUCCEEDED
    assert {device for _, device in fleet.offered} == {"d0"}
    fleet.rollout, waves_after, _ = resume(fleet.rollout, fleet.waves, now=fleet.now, by="eva")
    fleet.waves = list(waves_after)
    assert what_next(fleet.rollout, fleet.waves, now=fleet.now) == "wave rest starts"
    assert fleet.run(120) is RolloutStatus.COMPLETED


def test_once_enough_have_agreed_nobody_else_is_asked() -> None:
    fleet = Fleet(spec_of(timeouts=SHORT))
    number = fleet.rollout.id
    for reason, said in (
        ("one person must agree", f"`limosa rollout approve {number}` agrees to it, `deny` ends it"),
        ("enough have agreed", "it goes on by itself"),
    ):
        rollout = replace(fleet.rollout, status=RolloutStatus.WAITING_FOR_APPROVAL, reason=reason)
        assert what_next(rollout, fleet.waves, now=fleet.now) == said


def test_what_comes_next_is_said_of_a_last_wave_that_a_person_follows() -> None:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "60s", "then": "pause"}], timeouts=SHORT))
    while fleet.wave("all").status is not WaveStatus.BAKING:
        fleet.run(1)
    assert what_next(fleet.rollout, fleet.waves, now=fleet.now).endswith(
        "then it pauses for a person if the gate passes"
    )
    fleet.run(120)
    assert fleet.rollout.reason == "wave all has passed; it was the last, and a person says what follows"
    said = what_next(fleet.rollout, fleet.waves, now=fleet.now)
    assert said == f"`limosa rollout resume {fleet.rollout.id}` goes on, and it completes"


@pytest.mark.parametrize("percent, ends", [(50, RolloutStatus.COMPLETED), (90, RolloutStatus.FAILED)])
def test_what_accepting_failures_leads_to_is_said_before_anybody_accepts_them(
    percent: int, ends: RolloutStatus
) -> None:
    """The rule is set aside, the share that the wave needs is not: resumed, it failed within a second."""
    rule = {"threshold": 0.01, "min_executed": 2, "action": "pause"}
    fleet = Fleet(
        spec_of(
            waves=[{"name": "all", "bake": "2s"}], timeouts=SHORT, abort=[rule], success={"percent": percent}
        ),
        behaviours={"d0": FALLS_BACK},
    )
    while fleet.rollout.status is not RolloutStatus.PAUSED or fleet.wave("all").counts.open:
        fleet.run(1)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    said = what_next(fleet.rollout, fleet.waves, now=fleet.now)
    warned = "but wave all stays below the 90 % that it needs, and the rollout fails"
    assert (warned in said) is (ends is RolloutStatus.FAILED)
    assert said.endswith("`cancel` ends it")
    fleet.rollout, after, _ = resume(fleet.rollout, fleet.waves, now=fleet.now, by="eva")
    fleet.waves = list(after)
    assert fleet.run(120) is ends


@pytest.mark.parametrize("scope, keeps", [("wave", 1), ("all", 0)])
def test_only_the_wave_that_failed_goes_back_where_the_file_says_so(scope: str, keeps: int) -> None:
    waves = [{"name": "canary", "count": 1, "bake": "2s"}, {"name": "rest", "bake": "2s"}]
    abort = [{"threshold": 0.01, "min_executed": 2, "action": "rollback"}]
    fleet = Fleet(
        spec_of(waves=waves, timeouts=SHORT, abort=abort, on_failure={"rollback": scope}),
        behaviours={"d2": FALLS_BACK},
    )
    assert fleet.run(200) is RolloutStatus.ROLLED_BACK
    assert fleet.running().get("2.0.0", 0) == keeps
    assert fleet.devices["d0"].running == ("2.0.0" if keeps else "1.0.0")


@pytest.mark.parametrize("least, ends", [(80, False), (50, True)])
def test_the_tail_goes_on_while_too_many_who_are_back_have_not_executed(least: int, ends: bool) -> None:
    """4 of the 6 that can be reached have executed: 67 %."""
    fleet = Fleet(
        spec_of(
            waves=[{"name": "all", "bake": "0s"}],
            timeouts=SHORT,
            success={"reachable_within": "30s", "min_reachable_executed": least},
        ),
        behaviours={"d4": HANGS, "d5": HANGS},
    )
    fleet.cut("d4", "d5")
    fleet.now += 10
    fleet.run(20)
    fleet.mend("d4", "d5")
    fleet.run(200)
    assert (fleet.rollout.status is RolloutStatus.COMPLETED) is ends
    assert fleet.rollout.stragglers == (2 if ends else 0)


def test_a_wave_below_its_success_does_not_bake_to_its_end() -> None:
    """Without a rule that stops it: the gate is known to be missed, so nobody waits for the hour."""
    waves = [{"name": "canary", "count": 1, "bake": "1h"}, {"name": "rest"}]
    fleet = Fleet(spec_of(waves=waves, abort=[], timeouts=SHORT), behaviours={"d0": LATE})
    assert fleet.run(60) is RolloutStatus.FAILED
