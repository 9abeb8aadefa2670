"""Gate, then the preference, then holdout; and never by measured time alone (compiler 2.7)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.choice.choose import (
    Choice,
    Standing,
    cannot_win,
    choose,
    fails_clearly,
    may_be_shipped,
    shortfall,
)
from limosa_compiler.choice.gates import misses_on_holdout, misses_on_tune
from limosa_compiler.choice.pareto import SIZE_TIE, clearly_faster
from limosa_compiler.measuring.measure import Latency, Measured, Pruned, Score
from limosa_compiler.metrics import METRICS, Interval
from limosa_compiler.recipe import Gate
from limosa_compiler.recipe.gate import Prefer
from limosa_compiler.search.candidate import Candidate
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


def scored(metric: float, points: float, *, rows: int = 300) -> Score:
    return Score(rows=rows, metric=metric, points=points, lower_bound_points=points)


FP32 = measured("fp32", size=1000)
AFTER_HOLDOUT = ("larger", "slower", "worse", "second", "chosen")


def chosen_of(*items: Measured, gate: Gate = Gate(), coral: bool = False) -> Choice:  # noqa: B008  # a frozen value
    return choose(items, profile=CORAL if coral else PLAIN, gate=gate, metric=ACCURACY)


SCORES = st.sampled_from([-3.0, -1.1, -0.9, -0.05, 0.0, 0.4])


def timed_once(items: list[Measured]) -> list[Measured]:
    """As they are measured: candidates that differ in constants only share one time."""
    times: dict[str, Latency] = {}
    return [replace(item, latency=times.setdefault(item.structure, item.latency)) for item in items]


CANDIDATES = st.lists(
    st.builds(
        lambda size, tune, bound, holdout, ratio, structure, memory: replace(
            measured(
                "",
                size=size,
                tune=0.9 + tune / 100,
                bound=min(tune, bound),
                holdout_points=holdout,
                ratio=ratio,
                structure=structure,
            ),
            memory_bytes=memory,
        ),
        st.sampled_from([100, 103, 110, 300, 900]),
        SCORES,
        SCORES,
        SCORES,
        st.sampled_from([0.3, 0.88, 0.95, 1.0, 1.2, 3.0]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([None, 10, 1000]),
    ),
    max_size=6,
).map(lambda items: [FP32, *(replace(item, name=f"int8-{i}") for i, item in enumerate(timed_once(items)))])
BOUNDS = {
    "max_loss_points": st.sampled_from([0.5, 1.0, 2.0, 5.0]),
    "min_metric": st.sampled_from([0.80, 0.895, 0.90]),
    "max_slice_loss_points": st.sampled_from([0.0, 2.0]),
    "max_size_bytes": st.sampled_from([102, 500, 2000]),
    "max_size_ratio": st.sampled_from([0.1, 0.5, 1.0]),
    "max_latency_ratio": st.sampled_from([0.5, 1.0, 2.0]),
    "max_memory_bytes": st.sampled_from([10, 500, 5000]),
    "max_load_ms": st.sampled_from([1.0, 10.0]),
}
GATES = st.fixed_dictionaries({}, optional=BOUNDS).map(lambda bounds: Gate(**bounds))  # type: ignore[arg-type]  # each has its own type


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


@given(CANDIDATES, GATES, st.sampled_from(Prefer))
def test_choice_never_misses_the_gate_and_is_best_of_those_that_hold_it(
    items: list[Measured], gate: Gate, prefer: Prefer
) -> None:
    choice = choose(items, profile=PLAIN, gate=gate, metric=ACCURACY, prefer=prefer)
    assert {verdict.candidate for verdict in choice.verdicts} == {item.name for item in items}
    assert all(verdict.reason for verdict in choice.verdicts)
    shippable = [
        item
        for item in items
        if may_be_shipped(item, profile=PLAIN, gate=gate, metric=ACCURACY, fp32_size=FP32.size)
    ]
    assert (choice.chosen is None) == (not shippable)
    if choice.chosen is None:
        return
    chosen = next(item for item in items if item.name == choice.chosen)
    assert chosen in shippable
    assert not misses_on_tune(chosen, gate, ACCURACY, fp32_size=FP32.size)
    assert not misses_on_holdout(chosen, gate, ACCURACY)
    better = [
        other
        for other in items
        if standing(choice, other.name).value in AFTER_HOLDOUT
        and other.size * SIZE_TIE < chosen.size
        and other.tune.metric >= chosen.tune.metric
        and not clearly_faster(chosen, other)
    ]
    assert better == [], "nothing is clearly smaller, as good and as fast"


@given(CANDIDATES, GATES, st.sampled_from(Prefer), st.randoms(use_true_random=False))
def test_order_of_candidates_does_not_matter(
    items: list[Measured], gate: Gate, prefer: Prefer, random: Random
) -> None:
    shuffled = random.sample(items, len(items))
    one, other = (
        choose(each, profile=PLAIN, gate=gate, metric=ACCURACY, prefer=prefer) for each in (items, shuffled)
    )
    assert sorted(one.verdicts, key=str) == sorted(other.verdicts, key=str)


@given(CANDIDATES, GATES, st.data())
def test_tighter_gate_never_lets_a_candidate_through(
    items: list[Measured], gate: Gate, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(BOUNDS)))
    bound, old = data.draw(BOUNDS[field]), getattr(gate, field)
    if old is not None:
        bound = max(bound, old) if field == "min_metric" else min(bound, old)
    tighter = replace(gate, **{field: bound})  # type: ignore[arg-type]  # as above
    for item in items:
        if misses_on_tune(item, gate, ACCURACY, fp32_size=1000):
            assert misses_on_tune(item, tighter, ACCURACY, fp32_size=1000)
        if misses_on_holdout(item, gate, ACCURACY):
            assert misses_on_holdout(item, tighter, ACCURACY)
        assert shortfall(item, tighter, ACCURACY) >= shortfall(item, gate, ACCURACY)


def test_chosen_candidate_that_fails_on_holdout_gives_way_to_the_next_best_and_the_look_is_counted() -> None:
    choice = chosen_of(
        FP32,
        measured("tiny", size=100, holdout_points=-1.5),
        measured("small", size=300),
        measured("mid", size=600),
    )
    assert (choice.chosen, choice.holdout_looks) == ("small", 2)
    assert standing(choice, "tiny") is Standing.HOLDOUT
    assert standing(choice, "mid") is Standing.LARGER


def test_holdout_of_what_is_not_chosen_is_not_asked() -> None:
    choice = chosen_of(measured("small", size=300), measured("mid", size=600, holdout_points=-9))
    assert (choice.chosen, choice.holdout_looks) == ("small", 1)
    assert standing(choice, "mid") is Standing.LARGER


def test_each_preference_gets_what_it_asks_for() -> None:
    items = (
        measured("fp32", size=1000, tune=0.90),
        replace(measured("small", size=200, tune=0.895, ratio=1.5), tune=scored(0.895, -0.5)),
        replace(measured("quick", size=500, tune=0.893, ratio=0.4), tune=scored(0.893, -0.7)),
    )
    got = {
        prefer: choose(items, profile=PLAIN, gate=Gate(max_loss_points=2), metric=ACCURACY, prefer=prefer)
        for prefer in Prefer
    }
    assert {prefer.value: choice.chosen for prefer, choice in got.items()} == {
        "size": "small",
        "latency": "quick",
        "accuracy": "fp32",
    }
    assert standing(got[Prefer.LATENCY], "small") is Standing.SLOWER
    assert standing(got[Prefer.ACCURACY], "small") is Standing.WORSE
    assert "0.50 points better" in got[Prefer.ACCURACY].verdicts[1].reason


def test_a_tenth_of_a_point_and_a_tenth_of_the_time_do_not_decide() -> None:
    large = replace(measured("large", size=900, ratio=0.95), tune=scored(0.9005, 0.05))
    small = measured("small", size=300, ratio=1.0)
    for prefer in Prefer:
        choice = choose([large, small], profile=PLAIN, gate=Gate(), metric=ACCURACY, prefer=prefer)
        assert choice.chosen == "small", prefer


@pytest.mark.parametrize(
    "gate, says",
    [
        (Gate(max_size_bytes=299), "300 bytes, 299 are allowed"),
        (Gate(max_size_ratio=0.2), "0.300 of fp32's size"),
        (Gate(max_latency_ratio=0.5), "1.00 × fp32's time"),
        (Gate(max_memory_bytes=5), "memory 10 bytes, 5 are allowed"),
        (Gate(max_load_ms=5), "its load time could not be measured"),
        (Gate(max_slice_loss_points=2), "3.00 points on 40 tune rows of slice person=7"),
        (Gate(min_metric=0.95), "accuracy 0.9000 on tune rows is below 0.95"),
    ],
)
def test_every_bound_of_the_gate_says_what_missed_it(gate: Gate, says: str) -> None:
    item = replace(
        measured("int8", size=300),
        memory_bytes=10,
        tune_slices={"person=1": scored(0.9, 0.0, rows=40), "person=7": scored(0.87, -3.0, rows=40)},
    )
    choice = chosen_of(FP32, item, gate=gate)
    assert standing(choice, "int8") is Standing.GATE
    assert says in choice.verdicts[1].reason


def test_slice_of_few_rows_gets_no_verdict_and_time_within_a_tenth_passes() -> None:
    item = replace(
        measured("int8", size=300, ratio=1.05), tune_slices={"person=7": scored(0.5, -40.0, rows=29)}
    )
    gate = Gate(max_slice_loss_points=2, max_latency_ratio=1.0)
    assert chosen_of(FP32, item, gate=gate).chosen == "int8"


def test_slice_that_loses_on_holdout_rows_takes_the_choice_back() -> None:
    item = replace(measured("int8", size=300), holdout_slices={"person=7": scored(0.8, -4.0, rows=40)})
    choice = chosen_of(FP32, item, gate=Gate(max_slice_loss_points=2))
    assert choice.chosen == "fp32"
    assert "slice person=7" in choice.verdicts[1].reason


def test_model_of_another_runtime_or_of_too_much_memory_is_not_for_the_target() -> None:
    litert = replace(measured("int8", size=300), runtime="litert")
    hungry = replace(measured("hungry", size=300), memory_bytes=PLAIN.limits.memory_bytes + 1)
    choice = chosen_of(FP32, litert, hungry)
    assert choice.chosen == "fp32"
    assert standing(choice, "int8") is Standing.NOT_FOR_TARGET
    assert standing(choice, "hungry") is (
        Standing.TOO_LARGE if PLAIN.limits.memory_bytes else Standing.SECOND
    )


def test_pruned_candidate_stands_in_the_choice_with_its_reason() -> None:
    lost = Pruned(
        name="int8", precision="int8", size=10, digest=FP32.digest, structure="q", reason="loses 9 points"
    )
    choice = choose([FP32], profile=PLAIN, gate=Gate(), metric=ACCURACY, pruned=[lost])
    assert choice.chosen == "fp32"
    assert choice.verdicts[1].standing is Standing.PRUNED
    assert choice.verdicts[1].reason == "loses 9 points"


def test_only_what_certainly_fails_is_called_a_clear_failure() -> None:
    def partial(low: float, high: float, rows: int = 100) -> Score:
        return replace(
            scored(0.5, (low + high) / 2, rows=rows),
            interval_points=Interval(low=low, high=high),
            interval=Interval(low=0.4, high=0.6),
        )

    gate = Gate()
    assert "at least 1.10 points" in fails_clearly(partial(-9, -1.1), gate, ACCURACY)
    assert not fails_clearly(partial(-9, -0.9), gate, ACCURACY)
    assert not fails_clearly(partial(-9, -1.1, rows=49), gate, ACCURACY)
    assert "at most 0.6000" in fails_clearly(partial(-1, 1), Gate(min_metric=0.7), ACCURACY)
    assert not fails_clearly(partial(-1, 1), Gate(min_metric=0.59), ACCURACY)
    assert not fails_clearly(scored(0.1, -80), gate, ACCURACY)  # nothing is known of its interval


def test_only_size_is_known_before_measuring() -> None:
    big = Candidate(name="fp16", precision="fp16", model=b"x" * 500, structure="h")
    small = measured("int8", size=300)
    assert "1.67 × the size of int8" in cannot_win(big, [FP32, small], Prefer.SIZE)
    assert not cannot_win(replace(big, model=b"x" * 315), [small], Prefer.SIZE)
    assert not cannot_win(big, [], Prefer.SIZE)
    assert not cannot_win(big, [small], Prefer.LATENCY)
    assert not cannot_win(big, [small], Prefer.ACCURACY)
