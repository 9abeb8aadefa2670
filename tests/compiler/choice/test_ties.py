"""Candidates that nobody can tell apart by tune rows: bits, then what is shipped already (compiler 2.7)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from limosa_compiler.choice.choose import Choice, Standing, choose
from limosa_compiler.choice.ties import Leanings, clearly_better
from limosa_compiler.measuring.measure import Latency, Measured, Score
from limosa_compiler.metrics import METRICS, Interval
from limosa_compiler.recipe import Gate
from limosa_compiler.recipe.gate import Prefer
from limosa_compiler.search.strategies import is_coarser
from limosa_contracts.oci import digest_of
from limosa_contracts.profiles import load_profiles

KNOWN = load_profiles()
ACCURACY = METRICS["accuracy"]
COARSE = Leanings(coarser={"int8-7bit-minmax"})


def made(name: str, *, points: float, low: float, high: float, structure: str = "s") -> Measured:
    score = Score(
        rows=300,
        metric=0.9 + points / 100,
        points=points,
        lower_bound_points=max(low, -0.9),
        interval_points=Interval(low=low, high=high),
    )
    return Measured(
        name=name,
        precision="int8",
        size=1000,
        digest=digest_of(name.encode()),
        structure=structure,
        tune=score,
        holdout=Score(rows=200, metric=0.9, points=0.0),
        latency=Latency(median_us=100, fp32_median_us=100),
    )


SEVEN = made("int8-7bit-minmax", points=0.33, low=-0.2, high=0.9)
EIGHT = made("int8-minmax", points=0.0, low=-0.5, high=0.5)


def chosen(*items: Measured, leanings: Leanings = COARSE, prefer: Prefer = Prefer.SIZE) -> Choice:
    return choose(
        items, profile=KNOWN["rpi4"], gate=Gate(), metric=ACCURACY, prefer=prefer, leanings=leanings
    )


def test_one_row_of_tune_does_not_give_a_target_the_fewer_bits() -> None:
    choice = chosen(SEVEN, EIGHT)
    assert choice.chosen == "int8-minmax"
    reasons = {verdict.candidate: verdict for verdict in choice.verdicts}
    assert "fewer bits and is not clearly better" in reasons["int8-minmax"].reason
    assert reasons["int8-7bit-minmax"].standing is Standing.SECOND
    assert chosen(SEVEN, EIGHT, leanings=Leanings()).chosen == "int8-7bit-minmax"


def test_fewer_bits_that_are_clearly_better_are_taken() -> None:
    bad = replace(
        EIGHT, tune=replace(EIGHT.tune, points=-2, metric=0.88, interval_points=Interval(low=-3, high=-1))
    )
    assert clearly_better(SEVEN, bad, Prefer.SIZE)
    assert chosen(SEVEN, bad).chosen == "int8-7bit-minmax"


@pytest.mark.parametrize("change", [{"structure": "t"}, {"runtime": "litert"}, {"size": 2000}])
def test_another_graph_is_no_tie(change: dict[str, object]) -> None:
    other = replace(EIGHT, **change)  # type: ignore[arg-type]  # each has its own type
    assert chosen(SEVEN, other).chosen == "int8-7bit-minmax"


def test_who_prefers_accuracy_gets_a_third_of_a_point() -> None:
    assert chosen(SEVEN, EIGHT, prefer=Prefer.ACCURACY).chosen == "int8-7bit-minmax"
    close = replace(SEVEN, tune=replace(SEVEN.tune, points=0.05, metric=0.9005))
    assert chosen(close, EIGHT, prefer=Prefer.ACCURACY).chosen == "int8-minmax"


def test_what_goes_to_another_target_anyway_is_taken_where_the_metric_is_the_same() -> None:
    shared = replace(SEVEN, tune=EIGHT.tune)
    shipped = Leanings(coarser=COARSE.coarser, shipped={shared.digest})
    choice = chosen(shared, EIGHT, leanings=shipped)
    assert choice.chosen == "int8-7bit-minmax"
    assert "goes to another target too" in next(
        verdict.reason for verdict in choice.verdicts if verdict.standing is Standing.CHOSEN
    )
    assert chosen(SEVEN, EIGHT, leanings=shipped).chosen == "int8-minmax", "a better metric is no equal one"
    assert chosen(shared, EIGHT).chosen == "int8-minmax"


def test_tie_is_settled_before_holdout_is_asked_and_again_after_a_failure_there() -> None:
    failing = replace(EIGHT, holdout=replace(EIGHT.holdout, points=-5.0))
    choice = chosen(SEVEN, failing)
    assert choice.chosen == "int8-7bit-minmax"
    assert choice.holdout_looks == 2
    standings = {verdict.candidate: verdict.standing for verdict in choice.verdicts}
    assert standings["int8-minmax"] is Standing.HOLDOUT


def test_order_of_candidates_does_not_matter() -> None:
    items = [SEVEN, EIGHT, made("int8-mse", points=0.0, low=-0.4, high=0.4)]
    expected = chosen(*items).chosen
    for seed in range(10):
        Random(seed).shuffle(items)
        assert chosen(*items).chosen == expected


def test_a_byte_less_does_not_decide_between_ranges_the_metric_and_its_bound_do() -> None:
    short = replace(made("int8-mse", points=-0.3, low=-0.9, high=0.4), size=999)
    choice = chosen(short, EIGHT)
    assert choice.chosen == "int8-minmax"
    (reason,) = [item.reason for item in choice.verdicts if item.standing is Standing.CHOSEN]
    assert reason.startswith("as small as the smallest that meets the gate; int8-mse differs")
    wider = replace(made("int8-mse", points=0.0, low=-0.9, high=0.4), size=999)
    assert chosen(wider, EIGHT).chosen == "int8-minmax"


def test_where_no_interval_is_known_a_tenth_of_a_point_tells_apart() -> None:
    bare = [replace(item, tune=replace(item.tune, interval_points=None)) for item in (SEVEN, EIGHT)]
    assert chosen(*bare).chosen == "int8-7bit-minmax"


def test_only_targets_that_do_not_saturate_call_seven_bits_coarse() -> None:
    seven, eight = ({"weight_bits": bits} for bits in (7, 8))
    assert is_coarser(seven, KNOWN["rpi4"])
    assert is_coarser(seven, KNOWN["n100"])
    assert not is_coarser(seven, KNOWN["generic-x86-64"])
    assert not is_coarser(eight, KNOWN["rpi4"])
