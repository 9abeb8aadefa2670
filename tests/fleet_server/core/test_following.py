"""A group that grows: who joins comes in through the tail, not around the gates (rollouts 3.5)."""

from __future__ import annotations

import pytest

from limosa_contracts.errors import Conflict
from limosa_contracts.phases import Execution, Phase
from limosa_server.core import operate
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import FALLS_BACK, Fleet, spec_of

WAVES = [{"name": "canary", "count": 1, "bake": "20s"}, {"name": "rest", "bake": "1s"}]
SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}
STRICT = [{"threshold": 0.1, "min_executed": 1}]


def growing(**fields: object) -> Fleet:
    return Fleet(spec_of(waves=WAVES, target_selection="continuous", timeouts=SHORT, **fields), 4)


def test_devices_that_join_while_the_canary_bakes_do_not_get_around_the_gate() -> None:
    """hawkBit #1548: late targets were offered the release past every group's threshold."""
    fleet = growing()
    while fleet.wave("canary").status is not WaveStatus.BAKING:
        fleet.run(1)
    fleet.join("late1", "late2")
    fleet.run(10)
    assert {device for _, device in fleet.offered} == {"d0"}
    fleet.run(120)
    first = {device: at for at, device in reversed(fleet.offered)}
    assert first["late1"] > max(first[name] for name in ("d1", "d2", "d3"))
    assert fleet.running() == {"2.0.0": 6}


def test_its_release_is_promoted_when_the_gates_have_passed_and_it_goes_on() -> None:
    fleet = growing()
    fleet.run(120)
    assert (fleet.rollout.status, fleet.rollout.settled, fleet.promoted) == (
        RolloutStatus.RUNNING,
        True,
        True,
    )
    assert fleet.rollout.reason == "it follows its group: 4 devices run it"
    assert [one.kind for one in fleet.decisions].count("settled") == 1


def test_it_is_not_promoted_while_those_who_came_last_bring_it_below_its_success() -> None:
    """The two waves passed; what failed was all in the tail, before anything was settled."""
    fleet = growing(abort=[])
    fleet.join(*(f"late{i}" for i in range(4)))
    for i in range(4):
        fleet.devices[f"late{i}"].behaviour = FALLS_BACK
    assert fleet.run(240) is RolloutStatus.FAILED
    assert not fleet.promoted


def test_who_joins_later_is_offered_it_at_the_rate_and_the_abort_rules_hold() -> None:
    fleet = growing(rate={"maximum_per_minute": 4}, abort=STRICT)
    fleet.run(180)
    assert fleet.rollout.settled
    names = [f"new{i}" for i in range(20)]
    fleet.join(*names)
    for name in names:
        fleet.devices[name].behaviour = FALLS_BACK  # a new revision of the board
    fleet.run(60)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)
    assert sum(device in names for _, device in fleet.offered) <= 4


def test_it_ends_when_a_person_says_so() -> None:
    fleet = growing()
    fleet.run(120)
    fleet.rollout, decision = operate.finish(fleet.rollout, now=fleet.now, by="eva")
    assert "by eva" in decision.sentence
    assert fleet.run(30) is RolloutStatus.COMPLETED
    with pytest.raises(Conflict):
        operate.finish(fleet.rollout, now=fleet.now, by="eva")


def test_or_when_its_time_is_over_and_then_it_has_completed() -> None:
    spec = spec_of(
        waves=WAVES, target_selection="continuous", timeouts={**SHORT, "end": "200s", "at_end": "cancel"}
    )
    fleet = Fleet(spec, 4)
    assert fleet.run(190) is RolloutStatus.RUNNING
    fleet.join("late")
    fleet.cut("late")
    assert fleet.run(60) is RolloutStatus.COMPLETED
    assert fleet.rollout.stragglers == 1


def test_when_its_time_is_over_it_has_not_completed_with_a_release_that_fell_back_everywhere() -> None:
    """Its gates had passed, days ago; no rule of the file stopped it since."""
    fleet = Fleet(
        spec_of(waves=WAVES, target_selection="continuous", abort=[], timeouts={**SHORT, "end": "200s"}), 4
    )
    fleet.run(120)
    assert fleet.rollout.settled
    for name, device in fleet.devices.items():
        device.running, device.phase = "1.0.0", Phase.FELL_BACK
        fleet._event(name, Phase.FELL_BACK)
    assert fleet.run(120) is RolloutStatus.FAILED
    assert fleet.rollout.reason == "4 of 4 executed devices failed in the end"


def test_a_fixed_group_cannot_be_finished() -> None:
    fleet = Fleet(spec_of(waves=WAVES, timeouts=SHORT), 4)
    fleet.run(2)
    with pytest.raises(Conflict, match="follow"):
        operate.finish(fleet.rollout, now=fleet.now, by="eva")


def test_a_rollout_that_follows_is_not_superseded_while_its_devices_are_gone_for_a_while() -> None:
    fleet = growing()
    fleet.run(120)
    fleet.join("late")
    fleet.run(30)
    assert fleet.runs["late"].state is Execution.SUCCEEDED
    assert fleet.rollout.status is RolloutStatus.RUNNING
