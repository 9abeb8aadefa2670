"""Many fleets are offline half the time: silence is judged by a device's own habits (rollouts 3.4)."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from limosa_server.core.habit import BUCKETS, LEAST_S, MEMORY_S, Habit, is_silent
from limosa_server.core.rollout import Pause, RolloutStatus
from tests.fleet_server.core.fleet import Fleet, spec_of

HOUR, DAY = 3600.0, 86400.0


def shop(days: int) -> Habit:
    """Switched off each night for 14 h, reports each minute of the day, closed on Sundays."""
    habit, at = Habit(observed_to=0.0), 0.0
    for day in range(days):
        dark = 14 * HOUR + (DAY if day % 7 == 6 else 0.0)
        at += dark + 10 * HOUR
        habit = habit.seen(gap_s=dark, now=at - 10 * HOUR)
    return habit


def test_a_shop_that_is_dark_each_night_is_not_silent_in_the_morning() -> None:
    usual = shop(28).usual_gap_s
    assert usual is not None
    assert not is_silent(14 * HOUR, allowed_s=900, usual_gap_s=usual)
    assert not is_silent(38 * HOUR, allowed_s=900, usual_gap_s=usual), "nor after a Sunday"
    assert is_silent(6 * DAY, allowed_s=900, usual_gap_s=usual)


def test_by_number_of_gaps_it_would_have_been_called_silent_every_night() -> None:
    """One long gap among 600 short ones is below 1 % of them, and 58 % of the device's life."""
    habit = shop(28)
    by_time = habit.gap_s(0.5)
    assert by_time is not None
    assert by_time > 14 * HOUR
    assert habit.there is not None
    assert 0.3 < habit.there < 0.42


def test_a_device_that_is_always_there_is_silent_after_the_time_of_the_file() -> None:
    habit = Habit(observed_to=0.0).seen(gap_s=0.0, now=30 * DAY)
    assert habit.usual_gap_s == 120.0
    assert is_silent(901, allowed_s=900, usual_gap_s=habit.usual_gap_s)


def test_what_is_known_for_an_hour_is_no_habit() -> None:
    assert Habit(observed_to=0.0).seen(gap_s=HOUR, now=HOUR).usual_gap_s is None


def test_a_device_that_changed_its_ways_is_believed_within_two_months() -> None:
    habit = shop(200)
    at = habit.observed_to
    for _ in range(400):  # now it is connected all day, with a restart each week
        at += 7 * DAY
        habit = habit.seen(gap_s=300, now=at)
    usual = habit.usual_gap_s
    assert usual is not None
    assert usual <= 480


GAPS = st.lists(st.tuples(st.floats(0, 40 * DAY), st.floats(0, 10 * DAY)), max_size=60)


@given(GAPS)
def test_every_second_is_counted_once_and_memory_is_bounded(gaps: list[tuple[float, float]]) -> None:
    habit, at = Habit(observed_to=0.0), 0.0
    for gap, there in gaps:
        at += gap + there
        habit = habit.seen(gap_s=gap, now=at)
        assert sum(habit.spans_s) <= max(MEMORY_S, at) + 1
        assert min(habit.spans_s) >= 0
    assert len(habit.spans_s) == BUCKETS
    if at <= MEMORY_S:
        assert abs(sum(habit.spans_s) - at) < 1e-3 * max(1.0, at)


@given(GAPS)
def test_the_usual_gap_is_never_shorter_than_what_it_spends_its_time_in(
    gaps: list[tuple[float, float]],
) -> None:
    habit, at = Habit(observed_to=0.0), 0.0
    for gap, there in gaps:
        at += gap + there
        habit = habit.seen(gap_s=gap, now=at)
    half, usual = habit.gap_s(0.5), habit.usual_gap_s
    assert (half is None) == (sum(habit.spans_s) < LEAST_S)
    if half is not None and usual is not None:
        assert half <= usual


def test_a_clock_that_jumps_back_changes_nothing() -> None:
    habit = shop(3)
    assert habit.seen(gap_s=60, now=habit.observed_to - 5) is habit


def silent_fleet(usual_gap_s: float | None) -> Fleet:
    spec = spec_of(
        waves=[{"name": "all", "bake": "0s"}],
        abort=[{"failure": "silent", "threshold": 0.1, "min_executed": 1}],
        timeouts={"silence": "10s", "in_progress": "1d"},
    )
    fleet = Fleet(spec, 4)
    for name in ("d0", "d1"):
        fleet.devices[name].usual_gap_s = usual_gap_s
        fleet.devices[name].behaviour = "hangs"
    while fleet.runs["d0"].step != "self_testing":
        fleet.run(1)
    for name in ("d0", "d1"):  # they switch, and are not heard of again
        fleet.devices[name].behaviour = "good"
        fleet.devices[name].steps = []
    for name in ("d0", "d1"):
        fleet.runs[name] = replace(fleet.runs[name], step="activating")
    fleet.cut("d0", "d1")
    return fleet


def test_devices_that_went_dark_after_the_switch_stop_the_rollout() -> None:
    fleet = silent_fleet(None)
    fleet.run(60)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)


def test_devices_that_are_dark_each_night_do_not() -> None:
    fleet = silent_fleet(14 * HOUR)
    fleet.run(HOUR, step=60)
    assert fleet.rollout.status is RolloutStatus.RUNNING
    fleet.run(30 * HOUR, step=600)
    assert fleet.rollout.pause is Pause.GATE_FAILED, "but for two nights on end they are"


def test_rounding_up_never_hides_a_device_for_more_than_four_times_its_usual_gap() -> None:
    rng = random.Random(7)
    for _ in range(50):
        gap = rng.uniform(600, 5 * DAY)
        habit, at = Habit(observed_to=0.0), 0.0
        for _ in range(30):
            at += gap + 60
            habit = habit.seen(gap_s=gap, now=at)
        usual = habit.usual_gap_s
        assert usual is not None
        assert gap <= usual <= 2 * gap + 1e-6
