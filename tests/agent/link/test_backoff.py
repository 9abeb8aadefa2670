"""A broker or a server that comes back is not run over by its fleet (rollouts 3.10, agent 6.2)."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.config import AgentConfig
from limosa_agent.link.backoff import Backoff

DEFAULT = AgentConfig(server="https://fleet.example")
DEVICES = 2000
DRAWS = st.floats(0, 1, exclude_max=True)


def backoff_of(draw: random.Random) -> Backoff:
    return Backoff(
        least_s=DEFAULT.reconnect_min_s,
        most_s=DEFAULT.reconnect_max_s,
        chance=draw.random,
        stable_s=DEFAULT.stable_after_s,
    )


def tries(device: int, count: int) -> list[float]:
    """When one device tries again, in seconds since all of them lost the broker."""
    pauses = backoff_of(random.Random(device))
    return list(accumulate(pauses.next_s() for _ in range(count)))


def busiest(at: list[float]) -> float:
    """Share of the devices that try in one and the same second."""
    return max(Counter(int(one) for one in at).values()) / len(at)


def test_a_fleet_that_lost_its_broker_at_once_comes_back_further_and_further_apart() -> None:
    fleet = [tries(device, 8) for device in range(DEVICES)]
    shares = [busiest([times[turn] for times in fleet]) for turn in range(8)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.4, "the first try is within two seconds"
    assert shares[7] < 0.02
    assert len({times[7] for times in fleet}) == DEVICES, "no two in step"


@given(draws=st.lists(DRAWS, min_size=1, max_size=40))
def test_whatever_chance_draws_a_pause_stays_within_its_bounds(draws: list[float]) -> None:
    pauses = Backoff(least_s=1.0, most_s=900.0, chance=iter(draws).__next__)
    before = 1.0
    for _ in draws:
        pause = pauses.next_s()
        assert 1.0 <= pause <= min(900.0, 3 * before)
        before = pause


@pytest.mark.parametrize(("held_s", "anew"), [(0.0, False), (59.9, False), (60.0, True)])
def test_only_a_link_that_held_for_a_minute_begins_anew(held_s: float, anew: bool) -> None:
    """A broker that lets everybody in and dies of it would have them all back after a second."""
    pauses = Backoff(least_s=1.0, most_s=900.0, chance=lambda: 0.999, stable_s=DEFAULT.stable_after_s)
    for _ in range(5):
        long = pauses.next_s()
    assert (pauses.next_s(held_s=held_s) < 3.0, long > 200.0) == (anew, True)
