"""Shares of devices: against scipy on one stratum, against enumeration on several."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from limosa_server.core.judging.exact import (
    Table,
    binomial_tail,
    difference,
    difference_bound,
    surely_more,
)


@st.composite
def tables(draw: st.DrawFn, most: int = 25) -> Table:
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    return Table(draw(st.integers(0, n)), n, draw(st.integers(0, m)), m)


@given(tables())
def test_one_stratum_is_fishers_test(table: Table) -> None:
    counts = [[table.hit, table.n - table.hit], [table.hit_control, table.n_control - table.hit_control]]
    assert surely_more([table]) == pytest.approx(stats.fisher_exact(counts, "greater").pvalue, rel=1e-9)


@given(st.lists(tables(most=6), min_size=2, max_size=3))
def test_several_strata_are_their_enumeration(strata: list[Table]) -> None:
    ways: list[list[tuple[int, float]]] = []
    for one in strata:
        hits = one.hit + one.hit_control
        law = stats.hypergeom(one.n + one.n_control, hits, one.n)
        ways.append([(k, float(law.pmf(k))) for k in range(one.n + 1)])
    seen = sum(one.hit for one in strata)
    tail = math.fsum(
        math.prod(p for _, p in combination)
        for combination in itertools.product(*ways)
        if sum(k for k, _ in combination) >= seen
    )
    assert surely_more(strata) == pytest.approx(min(1.0, tail), abs=1e-9)


@given(st.lists(tables(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_strata_changes_nothing(strata: list[Table], random: object) -> None:
    other = sorted(strata, key=lambda one: (one.n, one.hit, one.n_control, one.hit_control))
    assert surely_more(strata) == surely_more(other)
    assert difference(strata) == difference(other)


@given(st.lists(tables(), min_size=1, max_size=4), st.floats(0.001, 0.2))
def test_bounds_hold_the_estimate_and_widen_with_certainty(strata: list[Table], level: float) -> None:
    low, high = (difference_bound(strata, level, upper=upper) for upper in (False, True))
    assert -1 <= low <= difference(strata) + 1e-9
    assert difference(strata) - 1e-9 <= high <= 1
    assert difference_bound(strata, level / 10, upper=True) >= high - 1e-9


@given(tables(), st.floats(0.005, 0.1))
def test_an_arm_that_is_turned_over_turns_the_bounds(table: Table, level: float) -> None:
    turned = Table(table.hit_control, table.n_control, table.hit, table.n)
    assert difference_bound([table], level, upper=True) == pytest.approx(
        -difference_bound([turned], level, upper=False), abs=1e-6
    )


@given(tables(), st.floats(-0.95, 0.95))
def test_the_closed_form_is_the_likeliest_share(table: Table, delta: float) -> None:
    from limosa_server.core.judging.exact import _share_under

    low, high = max(0.0, delta), min(1.0, 1.0 + delta)
    assume(high - low > 0.02)

    def likelihood(share: float) -> float:
        control = share - delta
        parts = [
            (table.hit, share),
            (table.n - table.hit, 1 - share),
            (table.hit_control, control),
            (table.n_control - table.hit_control, 1 - control),
        ]
        return math.fsum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

    grid = [low + (high - low) * i / 2000 for i in range(2001)]
    best = max(map(likelihood, grid))
    assert likelihood(_share_under(table, delta)) >= best - 1e-3


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_binomial_tail_is_scipys(hit: int, n: int, share: float) -> None:
    assert binomial_tail(hit, n, share) == pytest.approx(float(stats.binom.sf(hit - 1, n, share)), abs=1e-9)


def test_scores_interval_of_miettinen_and_nurminen_as_statsmodels_gives_it() -> None:
    """confint_proportions_2indep(56, 70, 48, 80, method="score", alpha=.05): (.0528, .3382)."""
    table = [Table(56, 70, 48, 80)]
    assert difference_bound(table, 0.025, upper=False) == pytest.approx(0.0528, abs=5e-4)
    assert difference_bound(table, 0.025, upper=True) == pytest.approx(0.3382, abs=5e-4)
