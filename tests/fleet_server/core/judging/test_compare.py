"""Verdicts of a comparison, each as an incident (rollouts 5.2 to 5.6)."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_contracts.rollout.analysis import DEFAULT_ANALYSIS, AnalysisRule
from limosa_contracts.rollout.metrics import METRICS, Direction, NoData
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.compare import compare, find
from limosa_server.core.judging.finding import Finding, share_margin
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.samples import Comparison, Sample, Stratum
from limosa_server.core.judging.spending import Look
from limosa_server.core.planning.power import power_of

END = Look(number=4, of=4, wave_share=0.5)
RATES = ("failures", "crashes", "silence", "errors", "refused")


def hits(metric: str, treated: tuple[int, int], control: tuple[int, int]) -> Sample:
    """So many of so many in each arm."""
    arms = [tuple(float(i < bad) for i in range(n)) for bad, n in (treated, control)]
    return Sample(metric=metric, strata=(Stratum(name="all", treated=arms[0], control=arms[1]),))


def spread(metric: str, harm: float, *, n: int = 20, m: int = 80, noise: float = 0.1) -> Sample:
    """Numbers around `harm` and 0, the same in every run."""
    chance = random.Random(f"{metric}{n}{m}")
    return Sample(
        metric=metric,
        strata=(
            Stratum(
                name="all",
                treated=tuple(round(harm + chance.gauss(0, noise), 6) for _ in range(n)),
                control=tuple(round(chance.gauss(0, noise), 6) for _ in range(m)),
            ),
        ),
        own_before=True,
    )


def good(**others: Sample) -> Comparison:
    """Twenty canaries against eighty, where nothing is wrong but `others`."""
    samples = {name: hits(name, (0, 20), (1, 80)) for name in RATES}
    samples |= {
        "latency": spread("latency", 0.0),
        "class_distance": spread("class_distance", 0.0, noise=0.02),
    }
    return Comparison(
        wave="canary",
        look=END,
        baked_s=86400.0,
        devices=(20, 80),
        rules=DEFAULT_ANALYSIS,
        samples=tuple({**samples, **others}.values()),
    )


def finding(inputs: Comparison, metric: str) -> Finding:
    return next(one for one in find(inputs) if one.metric == metric)


def test_a_wave_in_which_nothing_is_wrong_passes_and_says_what_was_not_seen() -> None:
    judged = compare(good(), wave=0)
    assert judged.verdict is Verdict.PASSED
    assert "all within their margins" in judged.decision.sentence
    assert judged.decision.sentence.endswith("not seen: memory")


def test_a_quarter_of_the_canaries_fails_to_update() -> None:
    judged = compare(good(failures=hits("failures", (5, 20), (0, 80))), wave=0)
    assert judged.verdict is Verdict.FAILED
    assert "5 of 20 failed, 0 of 80 that stayed" in judged.decision.sentence


def test_one_update_in_twenty_fails_as_updates_do_and_nobody_is_blamed() -> None:
    assert compare(good(failures=hits("failures", (1, 20), (0, 80))), wave=0).verdict is Verdict.PASSED


def test_usual_failures_in_a_large_wave_are_not_held_against_controls_that_cannot_fail() -> None:
    """14 of 400 against 0 of 200 is p = .003; but 5 % are granted."""
    found = finding(good(failures=hits("failures", (14, 400), (0, 200))), "failures")
    assert found.p < 0.005
    assert found.verdict is not Verdict.FAILED


def test_a_third_more_latency_is_found_on_twenty_devices_with_a_past() -> None:
    judged = compare(good(latency=spread("latency", 0.29)), wave=0)
    assert judged.verdict is Verdict.FAILED
    assert "latency is surely worse" in judged.decision.sentence
    assert "+20% is allowed" in judged.decision.sentence


def test_devices_without_a_past_differ_too_much_to_tell_and_the_sentence_says_what_it_takes() -> None:
    judged = compare(good(latency=spread("latency", 0.1, noise=0.4)), wave=0)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.helps_to_wait
    found = finding(good(latency=spread("latency", 0.1, noise=0.4)), "latency")
    assert found.more_devices > 20
    assert f"needs {found.more_devices} more devices or" in judged.decision.sentence


def test_more_hours_do_not_help_where_devices_are_too_few() -> None:
    judged = compare(good(crashes=hits("crashes", (2, 20), (2, 80))), wave=0)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert not judged.helps_to_wait
    assert judged.decision.sentence.endswith("+28% is allowed (needs 3 more devices)")


@pytest.mark.parametrize(
    "no_data,verdict",
    [
        (NoData.FAIL, Verdict.FAILED),
        (NoData.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (NoData.IGNORE, Verdict.PASSED),
    ],
)
def test_a_group_without_data_is_neither_a_hundred_points_nor_an_accident(
    no_data: NoData, verdict: Verdict
) -> None:
    silent = Sample(metric="latency", strata=())
    rules = tuple(
        replace(rule, no_data=no_data) if rule.metric == "latency" else rule for rule in DEFAULT_ANALYSIS
    )
    assert compare(replace(good(latency=silent), rules=rules), wave=0).verdict is verdict


def test_nothing_at_all_was_seen_and_all_of_it_may_be_ignored_yet_that_is_no_pass() -> None:
    rules = tuple(replace(rule, no_data=NoData.IGNORE) for rule in DEFAULT_ANALYSIS)
    assert compare(replace(good(), rules=rules, samples=()), wave=0).verdict is Verdict.INCONCLUSIVE


def test_an_early_look_never_passes_and_stops_only_for_what_is_overwhelming() -> None:
    early = Look(number=1, of=4, wave_share=0.5)
    assert compare(replace(good(), look=early), wave=0).verdict is Verdict.INCONCLUSIVE
    doubtful = good(latency=spread("latency", 0.29, noise=0.3))
    assert compare(replace(doubtful, look=early), wave=0).verdict is Verdict.INCONCLUSIVE
    disaster = good(crashes=hits("crashes", (18, 20), (0, 80)))
    assert compare(replace(disaster, look=early), wave=0).verdict is Verdict.FAILED


def test_harm_that_is_sure_but_small_passes_because_the_margin_allows_it() -> None:
    found = finding(good(latency=spread("latency", 0.04, n=400, m=400)), "latency")
    assert found.p < 0.001
    assert found.verdict is Verdict.PASSED


def test_of_eight_metrics_one_is_a_little_unlucky_and_holm_knows() -> None:
    unlucky = hits("silence", (3, 20), (0, 80))
    found = finding(good(silence=unlucky), "silence")
    alone = replace(good(silence=unlucky), rules=(replace(AnalysisRule.of(METRICS["silence"]), alpha=0.05),))
    assert found.p <= find(alone)[0].level
    assert found.verdict is Verdict.INCONCLUSIVE
    assert find(alone)[0].verdict is Verdict.FAILED


def test_where_less_is_worse_the_direction_turns_the_numbers() -> None:
    rule = replace(AnalysisRule.of(METRICS["latency"]), direction=Direction.DOWN)
    inputs = replace(good(latency=spread("latency", -0.4)), rules=(rule,))
    assert compare(inputs, wave=0).verdict is Verdict.FAILED
    faster = replace(good(latency=spread("latency", -0.4)), rules=(AnalysisRule.of(METRICS["latency"]),))
    assert compare(faster, wave=0).verdict is Verdict.PASSED


def test_a_stratum_with_one_arm_only_says_nothing() -> None:
    lonely = Stratum(name="lonely", treated=(1.0,) * 15, control=())
    crashes = hits("crashes", (0, 20), (0, 80))
    inputs = good(crashes=replace(crashes, strata=(*crashes.strata, lonely)))
    assert finding(inputs, "crashes").n == (20, 80)


# -- properties -----------------------------------------------------------------------------------

VALUES = st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)), max_size=25).map(tuple)
FLAGS = st.lists(st.sampled_from([0.0, 1.0]), max_size=25).map(tuple)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    samples = []
    for metric in draw(st.lists(st.sampled_from(sorted(METRICS)), unique=True, min_size=1)):
        values = FLAGS if metric in RATES else VALUES
        strata = tuple(
            Stratum(name=name, treated=draw(values), control=draw(values))
            for name in draw(st.lists(st.sampled_from(["a", "b"]), unique=True))
        )
        samples.append(Sample(metric=metric, strata=strata, own_before=draw(st.booleans())))
    number = draw(st.integers(1, 4))
    extension = draw(st.booleans())
    return Comparison(
        wave="w",
        look=Look(number=4 if extension else number, of=4, extension=extension),
        baked_s=draw(st.floats(0, 1e6)),
        devices=(draw(st.integers(0, 50)), draw(st.integers(0, 50))),
        rules=DEFAULT_ANALYSIS,
        samples=tuple(samples),
    )


@settings(max_examples=60)
@given(comparisons())
def test_any_comparison_is_judged_and_its_bytes_decide_the_same(inputs: Comparison) -> None:
    judged = compare(inputs, wave=0)
    again = compare(Comparison.parse(inputs.encode()), wave=0)
    assert again == judged
    assert judged.decision.inputs == inputs.encode()
    if not inputs.look.last:
        assert judged.verdict is not Verdict.PASSED


@settings(max_examples=40)
@given(comparisons())
def test_too_little_data_is_never_a_pass(inputs: Comparison) -> None:
    for found in find(inputs):
        if min(found.n) < 10:
            assert found.verdict is not Verdict.PASSED


@settings(max_examples=40)
@given(st.integers(0, 20), st.integers(0, 80))
def test_more_failures_never_make_it_better(bad: int, usual: int) -> None:
    order = [Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED]
    only = replace(good(), rules=(AnalysisRule.of(METRICS["crashes"]),))
    before, after = (
        find(replace(only, samples=(hits("crashes", (count, 20), (usual, 80)),)))[0]
        for count in (max(0, bad - 1), bad)
    )
    assert order.index(before.verdict) <= order.index(after.verdict)


@given(st.integers(1, 100_000))
def test_the_margin_of_shares_shrinks_with_devices(n: int) -> None:
    assert 0.05 <= share_margin(n + 1) <= share_margin(n) <= 0.28


def test_equal_inputs_give_equal_bytes_under_any_hash_seed() -> None:
    code = (
        "from tests.fleet_server.core.judging.test_compare import good, spread\n"
        "from limosa_server.core.judging.compare import compare\n"
        "d = compare(good(latency=spread('latency', 0.1, noise=0.3)), wave=0).decision\n"
        "print(d.inputs_sha256, d.numbers, d.sentence)\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(told) == 1


def test_what_a_plan_says_of_its_canary_is_what_the_judge_finds() -> None:
    spec = RolloutSpec.parse({"release": "a/b@1.0.0", "group": "g"})
    power = power_of(spec, canaries=20, controls=80, group=100)
    assert power.sentence.startswith("20 canaries against 80 controls: finds a failure rate of ≥ 14%")
    assert "crashes or errors on ≥ 26% of devices" in power.sentence
    assert "cannot see 5% → 10%" in power.sentence
    for hit, verdict in ((3, Verdict.INCONCLUSIVE), (4, Verdict.FAILED)):
        found = find(good(crashes=hits("crashes", (hit, 20), (0, 80))))[1]
        assert (found.metric, found.verdict) == ("crashes", verdict)
