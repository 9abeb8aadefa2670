"""One number per device: against scipy on one stratum, and the intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from limosa_server.core.judging.ranks import Pair, shift, shift_bound, surely_larger

NUMBERS = st.lists(st.integers(-30, 30).map(lambda n: n / 8), min_size=2, max_size=30)


@given(NUMBERS, NUMBERS)
def test_one_stratum_is_mann_and_whitneys_test(treated: list[float], control: list[float]) -> None:
    if len(set(treated + control)) == 1:
        assert surely_larger([Pair.of(treated, control)]) == 1.0
        return
    expected = stats.mannwhitneyu(
        treated, control, alternative="greater", method="asymptotic", use_continuity=False
    )
    assert surely_larger([Pair.of(treated, control)]) == pytest.approx(expected.pvalue, rel=1e-9)


@given(NUMBERS, NUMBERS)
def test_the_shift_is_the_median_of_differences(treated: list[float], control: list[float]) -> None:
    differences = sorted(x - y for x in treated for y in control)
    middle = shift([Pair.of(treated, control)])
    low, high = differences[(len(differences) - 1) // 2], differences[len(differences) // 2]
    assert low - 1e-9 <= middle <= high + 1e-9


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4), st.floats(0.001, 0.1))
def test_bounds_hold_the_estimate_and_move_with_the_numbers(
    strata: list[tuple[list[float], list[float]]], level: float
) -> None:
    pairs = [Pair.of(treated, control) for treated, control in strata]
    low, high = (shift_bound(pairs, level, upper=upper) for upper in (False, True))
    assert low - 1e-9 <= shift(pairs) <= high + 1e-9
    moved = [Pair.of([x + 16 for x in treated], control) for treated, control in strata]
    assert shift_bound(moved, level, upper=True) == pytest.approx(high + 16, abs=1e-6)
    assert surely_larger(moved) <= surely_larger(pairs) + 1e-12


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Strata of several sizes, skewed numbers, a true shift of .3: one bound in forty misses."""
    rng = np.random.default_rng(3)
    rounds, missed = 300, [0, 0]
    for _ in range(rounds):
        pairs = []
        for n, m in ((4, 16), (8, 24), (8, 40)):
            level = rng.normal(0, 2)
            treated = level + 0.3 + rng.gamma(2, 1, n)
            pairs.append(Pair.of(treated.tolist(), (level + rng.gamma(2, 1, m)).tolist()))
        missed[0] += shift_bound(pairs, 0.025, upper=False) > 0.3
        missed[1] += shift_bound(pairs, 0.025, upper=True) < 0.3
    assert max(missed) / rounds < 0.05


def test_devices_of_strata_that_differ_are_never_compared_with_each_other() -> None:
    """The slow profile has most of the canaries; pooled they look slow, within strata they are not."""
    slow, fast = [10.0, 11, 12, 13], [1.0, 2, 3, 4]
    strata = [Pair.of(slow * 4, slow), Pair.of(fast, fast * 4)]
    assert surely_larger(strata) == pytest.approx(0.5)
    assert surely_larger([Pair.of(slow * 4 + fast, slow + fast * 4)]) < 0.001
