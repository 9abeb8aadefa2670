"""The judge's benchmark runs, says the same for the same seed, and its worlds hold what they claim."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge_fleet import BAKE_H, Harm, make_world
from benchmarks.judge_naive import RULES
from benchmarks.judge_power import harms, judge_wave, same_build
from limosa_server.core.judging.judge import Verdict


def test_a_sound_build_is_not_stopped_and_the_same_seed_says_the_same() -> None:
    rows = [same_build(np.random.default_rng(3), 2) for _ in range(2)]
    assert rows[0] == rows[1]
    row, bar = rows[0]
    assert bar.name == "false_abort"
    assert bar.ok
    assert set(RULES) <= set(row)
    ends = [float(str(row[name]).removesuffix(" %")) for name in ("stopped", "inconclusive", "passed")]
    assert sum(ends) == pytest.approx(100), "every round ends in one of three ways, and all are shown"


def test_harm_of_twice_the_margin_never_passes() -> None:
    rng = np.random.default_rng(5)
    for harm in (Harm(name="latency", latency=1.4), Harm(name="crashes", rate="crashes", more=0.6)):
        world = make_world(rng, 20, 80, harm)
        assert judge_wave(world, wave=0, waves=3) is Verdict.FAILED


def test_worlds_are_as_unpleasant_as_they_say() -> None:
    world = make_world(np.random.default_rng(1), 400, 400, Harm())
    assert 0.7 < world.awake.mean() < 0.8  # half of the devices, half of the time
    hours = world.latency[:, :BAKE_H]
    steady = hours[~np.isnan(hours).any(axis=1)]
    together = np.corrcoef(
        (steady - steady.mean(axis=1, keepdims=True))[:, :-1].ravel(),
        (steady - steady.mean(axis=1, keepdims=True))[:, 1:].ravel(),
    )[0, 1]
    assert together > 0.5
    assert steady.mean(axis=1).std() > 0.3


@pytest.mark.parametrize("treated", [20, 100])
def test_each_harm_is_worse_in_one_way(treated: int) -> None:
    for harm in harms(treated):
        ways = [bool(harm.rate), harm.latency > 1, harm.memory > 1, harm.distance > 0]
        assert sum(ways) == 1, harm
