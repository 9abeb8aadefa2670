"""Gate, then size, then latency; and never by measured time alone (compiler 2.7)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.choose import Choice, Standing, choose, shortfall
from limosa_compiler.measure import Latency, Measured, Score
from limosa_compiler.metrics import METRICS
from limosa_compiler.recipe import Gate
from limosa_contracts.profiles import load_profiles

ACCURACY = METRICS["accuracy"]
PLAIN = load_profiles()["generic-x86-64"]
CORAL = load_profiles()["coral"]


def measured(
    name: str,
    *,
    size: int,
    tune: float = 0.9,
    bound: float = 0.0,
    holdout_points: float = 0.0,
    ratio: float = 1.0,
    structure: str = "",
) -> Measured:
    return Measured(
        name=name,
        precision="fp32" if name == "fp32" else "int8",
        size=size,
        digest="sha256:" + "0" * 64,
        structure=structure or name,
        tune=Score(rows=300, metric=tune, points=0.0, lower_bound_points=bound),
        holdout=Score(rows=200, metric=0.9 + holdout_points / 100, points=holdout_points),
        latency=Latency(median_us=100 * ratio, fp32_median_us=100),
    )


FP32 = measured("fp32", size=1000)


def chosen_of(*items: Measured, gate: Gate = Gate(), coral: bool = False) -> Choice:  # noqa: B008  # a frozen value
    return choose(items, profile=CORAL if coral else PLAIN, gate=gate, metric=ACCURACY)


def standing(choice: Choice, name: str) -> Standing:
    return next(verdict.standing for verdict in choice.verdicts if verdict.candidate == name)


def test_smallest_that_meets_the_gate_is_chosen_though_it_is_slower() -> None:
    choice = chosen_of(FP32, measured("int8", size=300, ratio=3.0))
    assert choice.chosen == "int8"
    assert standing(choice, "fp32") is Standing.LARGER


def test_candidate_that_may_lose_too_much_on_tune_rows_is_out() -> None:
    choice = chosen_of(FP32, measured("int8", size=300, bound=-1.01))
    assert choice.chosen == "fp32"
    assert standing(choice, "int8") is Standing.GATE
    assert "1.01 points on tune rows" in choice.verdicts[1].reason


def test_candidate_that_loses_too_much_on_holdout_rows_is_out() -> None:
    choice = chosen_of(FP32, measured("int8", size=300, holdout_points=-1.5))
    assert choice.chosen == "fp32"
    assert "holdout" in choice.verdicts[1].reason


def test_nothing_that_meets_the_gate_leaves_no_choice() -> None:
    choice = chosen_of(FP32, measured("int8", size=300), gate=Gate(min_metric=0.99))
    assert choice.chosen is None
    assert {verdict.standing for verdict in choice.verdicts} == {Standing.GATE}


def test_target_that_runs_int8_only_never_gets_fp32() -> None:
    choice = chosen_of(FP32, measured("int8", size=300, bound=-5.0), coral=True)
    assert choice.chosen is None
    assert standing(choice, "fp32") is Standing.NOT_FOR_TARGET


def test_model_larger_than_the_device_takes_is_out() -> None:
    big = measured("int8", size=PLAIN.limits.artifact_bytes + 1)
    assert standing(chosen_of(FP32, big), "int8") is Standing.TOO_LARGE


def test_of_equal_graphs_time_does_not_decide_the_better_metric_does() -> None:
    one = measured("a", size=300, tune=0.90, ratio=0.5, structure="same")
    two = measured("b", size=300, tune=0.91, ratio=1.0, structure="same")
    choice = chosen_of(one, two)
    assert choice.chosen == "b"
    assert standing(choice, "a") is Standing.SECOND


def test_of_different_graphs_as_small_a_clear_difference_of_time_decides_and_a_small_one_does_not() -> None:
    first = measured("a", size=300)
    assert chosen_of(first, measured("b", size=310, ratio=0.85)).chosen == "b"
    assert chosen_of(first, measured("b", size=310, ratio=0.95)).chosen == "a"
    assert chosen_of(first, measured("b", size=330, ratio=0.1)).chosen == "a"


@given(st.lists(st.floats(0.1, 10), min_size=6, max_size=6))
def test_noise_of_the_clock_never_changes_the_choice_among_the_real_ladder(ratios: list[float]) -> None:
    ladder = [
        measured("fp32", size=1000),
        measured("int8-minmax", size=300, tune=0.89, structure="qdq"),
        measured("int8-p99.9", size=300, tune=0.90, structure="qdq"),
    ]
    timed = [
        replace(item, latency=Latency(median_us=ratio, fp32_median_us=1.0))
        for item, ratio in zip(ladder, ratios, strict=False)
    ]
    assert chosen_of(*timed).chosen == "int8-p99.9"


def test_shortfall_ranks_what_came_closest() -> None:
    near, far = measured("near", size=1, bound=-1.2), measured("far", size=1, bound=-9.0)
    gate = Gate()
    assert 0 < shortfall(near, gate, ACCURACY) < shortfall(far, gate, ACCURACY)
    assert shortfall(FP32, gate, ACCURACY) == 0
