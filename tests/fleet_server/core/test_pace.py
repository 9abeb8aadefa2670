"""How fast a rollout goes: exponential rate, bytes per second, maintenance windows (rollouts 3.10, 4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_server.core import operate
from limosa_server.core.rollout import Pause, RolloutStatus
from tests.fleet_server.core.fleet import FALLS_BACK, Fleet, spec_of

ONE = [{"name": "all", "bake": "0s"}]
SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}


def sized(fleet: Fleet, size_bytes: int) -> Fleet:
    fleet.runs = {name: replace(run, size_bytes=size_bytes) for name, run in fleet.runs.items()}
    return fleet


def test_an_exponential_rate_begins_slowly_and_grows_with_what_succeeded() -> None:
    exponential = {"base_per_minute": 2, "factor": 2, "after": 6}
    fleet = Fleet(spec_of(waves=ONE, rate={"exponential": exponential}, timeouts=SHORT), 40)
    fleet.run(480)
    minutes = [sum(1000 + 60 * i <= at < 1060 + 60 * i for at, _ in fleet.offered) for i in range(8)]
    assert minutes[:2] == [2, 2]
    assert 2 < minutes[2] < 8
    assert max(minutes) > 2 * minutes[2]


def test_a_release_that_fails_never_leaves_the_base_rate() -> None:
    exponential = {"base_per_minute": 2, "factor": 10, "after": 1}
    spec = spec_of(waves=ONE, rate={"exponential": exponential}, abort=[], timeouts=SHORT)
    fleet = Fleet(spec, 20, behaviours={f"d{i}": FALLS_BACK for i in range(20)})
    fleet.run(180)
    assert len(fleet.offered) <= 6


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(50, 2000), st.integers(1, 30))
def test_the_bytes_told_are_never_more_than_the_speed_allows(size: int, speed: int, devices: int) -> None:
    spec = spec_of(waves=ONE, rate={"max_bytes_per_second": speed}, timeouts=SHORT)
    fleet = sized(Fleet(spec, devices), size)
    fleet.run(120)
    for at, _ in fleet.offered:
        told = size * sum(other <= at for other, _ in fleet.offered)
        assert told <= speed * (at - 1000.0 + 1.0) + size
    if size * devices <= speed * 100:
        assert fleet.rollout.status is RolloutStatus.COMPLETED


def test_a_variant_larger_than_a_second_of_the_speed_still_goes_one_at_a_time() -> None:
    spec = spec_of(waves=ONE, rate={"max_bytes_per_second": 100}, timeouts=SHORT)
    fleet = sized(Fleet(spec, 3), 5_000)  # 50 s each
    assert fleet.run(300) is RolloutStatus.COMPLETED
    times = [at for at, _ in fleet.offered]
    assert all(later - earlier >= 49 for earlier, later in pairwise(times))


def test_a_rollout_that_must_wait_long_for_its_bytes_pauses_and_goes_on_by_itself() -> None:
    spec = spec_of(waves=ONE, rate={"max_bytes_per_second": 1}, timeouts=SHORT)
    fleet = sized(Fleet(spec, 2), 1000)
    fleet.run(20)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.BUDGET)
    assert fleet.rollout.resume_at == fleet.rollout.bytes_free_at
    assert fleet.run(1200) is RolloutStatus.COMPLETED


def test_outside_of_the_window_nobody_is_offered_what_nobody_may_download() -> None:
    schedule = {
        "maintenance_windows": [{"cron": "0 2 * * *", "duration": "2h", "tz": "UTC"}],
        "download_outside_window": False,
    }
    fleet = Fleet(spec_of(waves=ONE, schedule=schedule, timeouts=SHORT), 3)
    fleet.opens_at = 7200.0
    fleet.run(30)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.OUTSIDE_WINDOW)
    assert (fleet.rollout.resume_at, fleet.offered) == (7200.0, [])
    assert "goes on by itself" in fleet.rollout.reason
    fleet.opens_at = None
    assert fleet.run(60) is RolloutStatus.COMPLETED


def test_a_person_may_make_such_a_pause_last() -> None:
    fleet = Fleet(spec_of(waves=ONE, timeouts=SHORT), 3)
    fleet.opens_at = 7200.0
    fleet.run(5)
    fleet.rollout, _ = operate.pause(fleet.rollout, now=fleet.now, by="eva")
    fleet.opens_at = None
    fleet.run(60)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.MANUAL)


def test_failures_are_seen_while_it_waits_for_a_window() -> None:
    spec = spec_of(
        waves=ONE,
        rate={"max_in_progress": 1},
        abort=[{"threshold": 0.1, "min_executed": 1}],
        timeouts=SHORT,
    )
    fleet = Fleet(spec, 3, behaviours={"d0": FALLS_BACK})
    fleet.run(2)
    assert len(fleet.offered) == 1
    fleet.opens_at = 7200.0  # the window closes while the first device is at it
    fleet.run(30)
    assert (fleet.rollout.status, fleet.rollout.pause) == (RolloutStatus.PAUSED, Pause.GATE_FAILED)


def test_a_device_that_goes_home_with_its_offer_does_not_stop_a_rollout_that_goes_one_by_one() -> None:
    """It held the only place of `max_in_progress`, and no clock runs for who is away: for a week nobody else
    was offered anything, and nothing said why (rollouts 3.5, 3.8)."""
    fleet = Fleet(spec_of(waves=ONE, rate={"max_in_progress": 1}, timeouts=SHORT), 6)
    fleet.tick()
    (gone,) = [device for _, device in fleet.offered]
    fleet.cut(gone)
    fleet.run(200)
    assert fleet.running() == {"1.0.0": 1, "2.0.0": 5}
    fleet.mend(gone)
    assert fleet.run(200) is RolloutStatus.COMPLETED
    assert fleet.running() == {"2.0.0": 6}


def test_at_the_end_those_who_are_away_do_not_wait_for_each_other() -> None:
    """The first of them took the one place, and the rollout never completed (rollouts 3.5)."""
    success = {"reachable_within": "100s"}
    fleet = Fleet(spec_of(waves=ONE, rate={"max_in_progress": 1}, timeouts=SHORT, success=success), 6)
    fleet.tick()
    fleet.cut("d3", "d4", "d5")
    assert fleet.run(400) is RolloutStatus.COMPLETED
    assert fleet.rollout.stragglers == 3


def test_a_device_that_vanished_after_the_switch_keeps_its_place() -> None:
    """Else a release that kills devices would get another one for each that it has killed (rollouts 3.4)."""
    spec = spec_of(waves=ONE, rate={"max_in_progress": 1}, timeouts=SHORT, abort=[])
    fleet = Fleet(spec, 6)
    while not any(run.step == "probation" for run in fleet.runs.values()):
        fleet.run(1)
    (gone,) = [device for _, device in fleet.offered]
    fleet.cut(gone)
    fleet.devices[gone].steps = []
    fleet.run(200)
    assert [device for _, device in fleet.offered] == [gone]
