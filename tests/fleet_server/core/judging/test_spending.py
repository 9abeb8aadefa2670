"""The accepted risk is spent once, over looks, waves and metrics (rollouts 5.5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.fields import Fields
from limosa_server.core.judging.spending import Look, holm, look_levels, wave_share


def test_boundaries_are_those_of_the_books() -> None:
    """Lan-DeMets with O'Brien-Fleming's shape, one-sided .025, four looks: z 4.33, 2.96, 2.36, 2.01."""
    from statistics import NormalDist

    z = [-NormalDist().inv_cdf(level) for level in look_levels(4, 0.025)]
    assert z == pytest.approx([4.3326, 2.9631, 2.3590, 2.0141], abs=2e-3)


@pytest.mark.parametrize("looks", [1, 2, 4, 7])
def test_all_looks_together_stop_as_often_as_was_accepted(looks: int) -> None:
    alpha, rounds = 0.05, 40_000
    levels = np.array(look_levels(looks, alpha))
    rng = np.random.default_rng(1)
    sums = np.cumsum(rng.normal(size=(rounds, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
    bounds = np.array([-np.inf if level >= 1 else _z(level) for level in levels])
    stopped = (sums > bounds).any(axis=1).mean()
    assert stopped == pytest.approx(alpha, abs=0.004)


def _z(level: float) -> float:
    from statistics import NormalDist

    return -NormalDist().inv_cdf(level)


@given(st.integers(1, 32))
def test_waves_share_the_risk_of_their_rollout(waves: int) -> None:
    assert sum(wave_share(wave, waves) for wave in range(waves)) == pytest.approx(1.0)
    assert wave_share(0, waves) == max(wave_share(wave, waves) for wave in range(waves))


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1), min_size=1), st.floats(0.001, 0.2))
def test_holm_stops_at_the_first_that_holds(p: dict[str, float], level: float) -> None:
    levels = holm(p, level)
    refused = {name for name in p if p[name] <= levels[name] and levels[name] > 0}
    ordered = sorted(p, key=lambda name: (p[name], name))
    expected = set()
    for place, name in enumerate(ordered):
        if p[name] > level / (len(p) - place):
            break
        expected.add(name)
    assert refused == expected


def test_a_pass_is_only_at_the_end_and_its_risk_is_spent_over_both_ends() -> None:
    end = Look(number=4, of=4)
    more = Look(number=4, of=4, extension=True)
    assert end.pass_level(0.025) + more.pass_level(0.025) == pytest.approx(0.025)
    assert Look(number=4, of=4, may_extend=False).pass_level(0.025) == 0.025
    assert [Look(number=n, of=4).last for n in (1, 2, 3, 4)] == [False, False, False, True]


@given(st.integers(1, 12), st.integers(1, 12), st.booleans(), st.booleans(), st.floats(0.01, 1))
def test_a_look_is_read_as_it_is_written(
    number: int, of: int, extension: bool, may_extend: bool, share: float
) -> None:
    look = Look(number=number, of=of, extension=extension, may_extend=may_extend, wave_share=share)
    assert Look.parse(Fields(dict(look.as_json()), where="look")) == look
