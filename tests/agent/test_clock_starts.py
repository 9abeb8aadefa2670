"""A crash loop is found whatever the clock says, and no clock makes one (agent 3.2, trust 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.store.starts import (
    STARTS_MAX,
    STARTS_WITHIN_S,
    Start,
    lately,
    note_lived,
    note_start,
    note_stop,
    seconds_between,
)
from limosa_agent.store.state_db import StateDb

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StateDb]:
    opened = StateDb.open(tmp_path)
    yield opened
    opened.close()


def at(up_s: float, *, boot: str = "boot-1", clock: float = NOW, believed: bool = True) -> Start:
    return Start(boot=boot, up_s=up_s, clock=clock + up_s, believed=believed)


def test_the_fourth_unclean_start_is_one_too_many_and_a_clean_stop_is_none(db: StateDb) -> None:
    assert [note_start(db, now=at(float(i))) for i in range(4)] == [False, False, False, True]
    assert not note_start(db, now=at(10.0))
    note_stop(db)
    assert not note_start(db, now=at(11.0))
    assert [note_start(db, now=at(2000.0 + 400 * i)) for i in range(5)] == [False] * 5


def test_a_clock_that_jumps_between_two_starts_hides_no_crash_loop(db: StateDb) -> None:
    clocks = (NOW, 0.0, 4.1e9, NOW - 3600)
    said = [note_start(db, now=at(float(i), clock=clock)) for i, clock in enumerate(clocks)]
    assert said == [False, False, False, True], "all are of one start of the system"


def test_a_device_without_a_clock_that_reboots_again_and_again_is_in_a_crash_loop(db: StateDb) -> None:
    said = [note_start(db, now=at(20.0, boot=f"boot-{i}", clock=0.0, believed=False)) for i in range(4)]
    assert said == [False, False, False, True]


def test_a_device_without_a_clock_that_lives_for_long_is_not(db: StateDb) -> None:
    """Cut off from power once a day; it wakes up at 1970 every time."""
    for i in range(10):
        assert not note_start(db, now=at(20.0, boot=f"boot-{i}", clock=0.0, believed=False))
        for lived_s in range(0, 700, 10):
            note_lived(db, lived_s=float(lived_s))


def test_a_device_with_a_clock_that_wakes_up_for_a_minute_each_hour_is_not(db: StateDb) -> None:
    for i in range(10):
        assert not note_start(db, now=at(20.0, boot=f"boot-{i}", clock=NOW + 3600 * i))


def test_a_clock_that_cannot_be_right_is_not_asked_how_far_apart_starts_are(db: StateDb) -> None:
    said = [note_start(db, now=at(5.0, boot=f"b{i}", clock=i * DAY, believed=False)) for i in range(4)]
    assert said[-1]


def test_how_long_it_lives_is_written_a_few_times_only(db: StateDb, tmp_path: Path) -> None:
    note_start(db, now=at(0.0))
    written = []
    for lived_s in range(3600):
        before = db.meta("start_log")
        note_lived(db, lived_s=float(lived_s))
        written.append(db.meta("start_log") != before)
    assert sum(written) == STARTS_WITHIN_S / 30


def test_what_another_version_wrote_is_no_start(db: StateDb) -> None:
    for text in ("", "1.0 2.0 3.0", '{"starts": [{"boot": 7}]}', "[" * 100):
        db.set_meta("start_log", text)
        assert not note_start(db, now=at(0.0))


STARTS = st.lists(
    st.builds(
        Start,
        boot=st.sampled_from(["", "a", "b", "c"]),
        up_s=st.floats(0, 1e6),
        clock=st.floats(-1e10, 1e10),
        believed=st.booleans(),
        lived_s=st.floats(0, 600),
    ),
    min_size=1,
    max_size=12,
)


@given(STARTS)
def test_the_last_start_always_counts_and_lives_lie_within_the_time(starts: list[Start]) -> None:
    recent = lately(starts)
    assert recent == tuple(starts[-len(recent) :])
    assert sum(start.lived_s for start in recent[:-1]) <= STARTS_WITHIN_S
    assert all(seconds_between(a, b) >= a.lived_s for a, b in pairwise(starts))


@given(STARTS)
def test_starts_that_each_lived_for_long_are_never_too_many(starts: list[Start]) -> None:
    assert len(lately([replace(start, lived_s=STARTS_WITHIN_S) for start in starts])) <= STARTS_MAX
