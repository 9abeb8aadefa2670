"""The effect of a release on a KPI: right on the average, honest about doubt (rollouts 5.2, 6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from limosa_server.core.modes.effect import DeviceValues, devices_needed, effect

RUNS = 300


def values(
    arm: str, means: np.ndarray[tuple[int], np.dtype[np.float64]], *, n: int = 10
) -> list[DeviceValues]:
    return [
        DeviceValues(device=f"{arm}{i}", arm=arm, n=n, total=float(mean) * n) for i, mean in enumerate(means)
    ]


def test_interval_is_that_of_welch() -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(1, 0.2, 14), draw.normal(1.2, 0.5, 9)
    found = effect([*values("a", a), *values("b", b)], confidence=0.9)
    assert found is not None
    oracle = stats.ttest_ind(b, a, equal_var=False)
    low, high = oracle.confidence_interval(0.9)
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.p == pytest.approx(oracle.pvalue)
    assert found.difference == pytest.approx(b.mean() - a.mean())


@pytest.mark.parametrize("counts", [(0, 5), (1, 5), (5, 1), (0, 0)])
def test_arm_without_two_devices_shows_nothing(counts: tuple[int, int]) -> None:
    a, b = (np.ones(count) for count in counts)
    assert effect([*values("a", a), *values("b", b)], confidence=0.95) is None


def test_devices_that_all_say_the_same_leave_no_doubt() -> None:
    found = effect([*values("a", np.ones(3)), *values("b", np.full(3, 2.0))], confidence=0.95)
    assert found is not None
    assert (found.difference, found.low, found.high, found.p) == (1.0, 1.0, 1.0, 0.0)
    assert devices_needed(found, worth=0.1) is None


def fleet(
    draw: np.random.Generator, *, gain: float, devices: int = 24, before: bool = False
) -> list[DeviceValues]:
    """Devices differ much, their values less; n of values differs tenfold."""
    result = []
    for i in range(devices):
        own, n = draw.normal(0.5, 0.15), int(draw.integers(20, 200))
        arm = "b" if i % 2 else "a"
        real = draw.normal(own + gain * (arm == "b"), 0.3, n)
        past = float(draw.normal(own, 0.3 / math.sqrt(n))) if before else None
        result.append(
            DeviceValues(
                device=f"d{i}", arm=arm, n=n, total=float(real.sum()),
                squares=float((real**2).sum()), before=past,
            )
        )  # fmt: skip
    return result


def pooled_is_sure(some: list[DeviceValues]) -> bool:
    """All values taken as independent: what most tools do."""
    arms = {}
    for arm in "ab":
        n = sum(one.n for one in some if one.arm == arm)
        mean = sum(one.total for one in some if one.arm == arm) / n
        spread = sum(one.squares for one in some if one.arm == arm) / n - mean**2
        arms[arm] = (mean, spread / n)
    return abs(arms["b"][0] - arms["a"][0]) > 1.96 * math.sqrt(arms["a"][1] + arms["b"][1])


@pytest.mark.parametrize("before", [False, True])
def test_release_that_changes_nothing_is_rarely_called_a_change(before: bool) -> None:
    draw = np.random.default_rng(3)
    wrong = pooled = 0
    for _ in range(RUNS):
        some = fleet(draw, gain=0.0, before=before)
        found = effect(some, confidence=0.95)
        assert found is not None
        assert found.adjusted is before
        wrong += not found.low <= 0 <= found.high
        pooled += pooled_is_sure(some)
    assert wrong / RUNS < 0.09
    assert pooled / RUNS > 0.4  # the same fleets, judged by values instead of devices


def test_past_of_the_devices_finds_what_their_differences_hide() -> None:
    draw = np.random.default_rng(4)
    plain = adjusted = 0
    for _ in range(RUNS // 3):
        some = fleet(draw, gain=0.06, before=True)
        without = [DeviceValues(device=o.device, arm=o.arm, n=o.n, total=o.total) for o in some]
        one, other = effect(without, confidence=0.95), effect(some, confidence=0.95)
        assert one is not None
        assert other is not None
        plain += one.low > 0
        adjusted += other.low > 0
    assert adjusted > 0.75 * RUNS / 3
    assert plain < 0.4 * RUNS / 3


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=20), st.floats(0.5, 0.99))
def test_interval_holds_the_difference_and_turns_with_the_arms(means: list[float], confidence: float) -> None:
    half = len(means) // 2
    a, b = np.array(means[:half]), np.array(means[half:])
    found = effect([*values("a", a), *values("b", b)], confidence=confidence)
    turned = effect([*values("a", b), *values("b", a)], confidence=confidence)
    assert found is not None
    assert turned is not None
    assert found.low <= found.difference <= found.high
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.low == pytest.approx(-found.high)
