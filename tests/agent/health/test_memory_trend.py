"""What leaks and what only grew (agent 4.2)."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.health.config import HealthLimits
from limosa_agent.health.memory_trend import MemoryTrend

MIB = 1024**2
LIMITS = HealthLimits(growth_bytes=60 * MIB, growth_steps=6, growth_step_s=10.0)


def trend_of(mib: Iterable[int], *, every_s: float = 10.0) -> MemoryTrend:
    trend = MemoryTrend(limits=LIMITS)
    for i, value in enumerate(mib):
        trend.note(value * MIB, now_s=i * every_s)
    return trend


def test_a_worker_that_grows_with_every_step_leaks() -> None:
    growth = trend_of(range(80, 180, 10)).growth
    assert growth is not None
    assert growth.to_bytes - growth.from_bytes >= 60 * MIB
    assert growth.steps >= 6


def test_an_arena_that_grows_and_stays_does_not() -> None:
    assert trend_of([80, 200, 300, 300, 300, 300, 300, 300, 300, 300]).growth is None
    assert trend_of([80, 90, 100, 200, 300, 310, 300, 305, 309, 300]).growth is None


def test_slow_growth_is_a_leak_once_it_is_large() -> None:
    assert trend_of(range(80, 130)).growth is None
    assert trend_of(range(80, 150)).growth is not None


def test_peaks_within_a_step_are_not_looked_at() -> None:
    assert trend_of((80 + (i % 10) * 30 for i in range(400)), every_s=1.0).growth is None


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_what_never_exceeds_its_first_value_by_the_limit_is_no_leak(mib: list[int]) -> None:
    growth = trend_of(80 + value % 60 for value in mib).growth
    assert growth is None
