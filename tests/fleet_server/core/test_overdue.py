"""A rollout that nobody looks at announces itself (rollouts 2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_server.core.overdue import overdue
from limosa_server.core.rollout import Pause, RolloutStatus
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import Fleet, spec_of

HOUR = 3600.0
S = RolloutStatus


def fleet_in(status: RolloutStatus, pause: Pause = Pause.NONE, **fields: object) -> Fleet:
    fleet = Fleet(spec_of(waves=[{"name": "all", "bake": "2h"}], **fields), 3)
    fleet.rollout = replace(fleet.rollout, status=status, since=0.0, reason="because", pause=pause)
    return fleet


@pytest.mark.parametrize(
    "status, hours, said",
    [
        (S.WAITING_FOR_APPROVAL, 23, False),
        (S.WAITING_FOR_APPROVAL, 25, True),
        (S.VALIDATING, 0.1, False),
        (S.VALIDATING, 1, True),
        (S.PAUSED, 25, True),
        (S.CANCELING, 25, True),
        (S.DRAFT, 25, False),
        (S.ROLLING_BACK, 7 * 24, False),
        (S.ROLLING_BACK, 7 * 24 + 1, True),
        (S.COMPLETED, 9999, False),
        (S.FAILED, 9999, False),
    ],
)
def test_each_state_has_its_time(status: RolloutStatus, hours: float, said: bool) -> None:
    fleet = fleet_in(status)
    sentence = overdue(fleet.rollout, fleet.waves, now=hours * HOUR)
    assert bool(sentence) == said
    if said:
        assert sentence.startswith(f"rollout 1 is {status.value} for")
        assert sentence.endswith(": because")


def test_a_pause_of_its_own_making_is_no_news() -> None:
    fleet = fleet_in(S.PAUSED, Pause.OUTSIDE_WINDOW)
    assert overdue(fleet.rollout, fleet.waves, now=99 * HOUR) == ""


def test_a_schedule_that_was_missed_is() -> None:
    fleet = fleet_in(S.SCHEDULED, schedule={"start": "1970-01-02T00:00:00Z"})
    assert overdue(fleet.rollout, fleet.waves, now=24 * HOUR) == ""
    assert "SCHEDULED" in overdue(fleet.rollout, fleet.waves, now=25 * HOUR)


def test_a_wave_that_hangs_is_named() -> None:
    fleet = fleet_in(S.RUNNING)
    fleet.waves[0] = replace(fleet.waves[0], status=WaveStatus.IN_PROGRESS, since=0.0)
    assert overdue(fleet.rollout, fleet.waves, now=24 * HOUR) == ""
    said = overdue(fleet.rollout, fleet.waves, now=40 * HOUR)
    assert said == "wave all of rollout 1 is IN_PROGRESS for 1d 16h: because"


def test_a_comparison_that_bakes_as_long_again_does_not_hang() -> None:
    fleet = fleet_in(S.RUNNING)
    fleet.waves[0] = replace(
        fleet.waves[0], status=WaveStatus.BAKING, since=0.0, bake_s=100 * HOUR, judge="compare", extended=True
    )
    assert overdue(fleet.rollout, fleet.waves, now=220 * HOUR) == ""
    assert "BAKING" in overdue(fleet.rollout, fleet.waves, now=225 * HOUR)


def test_a_shadow_that_waits_for_rows_does_not_hang() -> None:
    fleet = fleet_in(S.RUNNING, mode="shadow")
    fleet.waves[0] = replace(fleet.waves[0], status=WaveStatus.BAKING, since=0.0)
    assert overdue(fleet.rollout, fleet.waves, now=7 * 24 * HOUR) == ""
    assert "BAKING" in overdue(fleet.rollout, fleet.waves, now=(8 * 24 + 3) * HOUR)


def test_a_wave_that_begins_slowly_does_not_hang() -> None:
    slow = {"exponential": {"base_per_minute": 1, "factor": 2, "after": 100}}
    fleet = fleet_in(S.RUNNING, rate=slow)
    fleet.waves[0] = replace(fleet.waves[0], status=WaveStatus.IN_PROGRESS, since=0.0, size=100)
    began = overdue(fleet.rollout, fleet.waves, now=29 * HOUR)
    assert began == "", "a hundred devices at one a minute, and a day and four hours for the last"
    assert "IN_PROGRESS" in overdue(fleet.rollout, fleet.waves, now=30 * HOUR)


def test_one_that_follows_its_group_waits_for_nothing() -> None:
    fleet = fleet_in(S.RUNNING, target_selection="continuous")
    fleet.rollout = replace(fleet.rollout, settled=True)
    assert overdue(fleet.rollout, fleet.waves, now=9999 * HOUR) == ""
