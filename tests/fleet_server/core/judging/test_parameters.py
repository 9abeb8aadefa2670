"""Each parameter of `[[analysis]]` changes what is decided, on numbers that are the same otherwise
(rollouts 4, 5.4, 5.5): one that were read and then forgotten would be seen here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_contracts.rollout.analysis import AnalysisRule, OnInconclusive
from limosa_contracts.rollout.metrics import METRICS
from limosa_server.core.comparing import due_look
from limosa_server.core.judging.compare import find
from limosa_server.core.judging.finding import Finding
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.samples import Sample
from limosa_server.core.judging.spending import Look, look_levels
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from tests.fleet_server.core.fleet import index_of, spec_of
from tests.fleet_server.core.judging.test_compare import good, hits, spread

FIRST = Look(number=1, of=4, wave_share=0.5)


def judged(metric: str, sample: Sample, look: Look | None = None, **changed: object) -> Finding:
    rule = replace(AnalysisRule.of(METRICS[metric]), **changed)  # type: ignore[arg-type]  # tests write plain values
    inputs = replace(good(**{metric: sample}), rules=(rule,))
    return find(inputs if look is None else replace(inputs, look=look))[0]


def test_a_margin_of_ones_own_is_the_margin() -> None:
    slower = spread("latency", 0.12)
    assert judged("latency", slower).verdict is Verdict.PASSED
    assert judged("latency", slower, margin=0.05).verdict is Verdict.FAILED
    assert judged("latency", slower, margin=0.05).margin == 0.05


def test_fewer_devices_per_arm_than_asked_for_are_no_data() -> None:
    assert judged("latency", spread("latency", 0.0)).verdict is Verdict.PASSED
    found = judged("latency", spread("latency", 0.0), min_devices_per_arm=21)
    assert (found.verdict, found.more_devices) == (Verdict.INCONCLUSIVE, 1)


@pytest.mark.parametrize("critical", [True, False])
def test_who_accepts_less_risk_of_a_false_stop_needs_more_to_stop(critical: bool) -> None:
    """4 of 20 crashed, 0 of 80: p = .0012."""
    crashed = hits("crashes", (4, 20), (0, 80))
    assert judged("crashes", crashed, critical=critical, margin=0.1).verdict is Verdict.FAILED
    careful = judged("crashes", crashed, critical=critical, margin=0.1, alpha=0.0005)
    assert careful.verdict is Verdict.INCONCLUSIVE


def test_who_accepts_less_risk_of_a_false_pass_is_further_from_passing() -> None:
    usual, careful = (judged("latency", spread("latency", 0.1), alpha=alpha) for alpha in (0.025, 0.0005))
    assert usual.upper is not None
    assert careful.upper is not None
    assert usual.upper < careful.upper


def test_an_early_look_has_only_its_part_of_the_risk() -> None:
    """p = .0012 stops at the end of a bake, and not at its first quarter."""
    crashed = hits("crashes", (4, 20), (0, 80))
    assert judged("crashes", crashed, look=FIRST, margin=0.1).verdict is Verdict.INCONCLUSIVE
    assert FIRST.fail_level(0.025) == look_levels(4, 0.025 * 0.5 * 0.8)[0]
    whole = replace(FIRST, may_extend=False, wave_share=1.0)
    assert sum(replace(whole, number=n).fail_level(0.025) for n in (1, 2, 3)) < 0.025


def test_failures_that_are_usual_for_updates_do_not_fail_a_wave_whatever_the_margin() -> None:
    """18 of 400 against 0 of 200 is p < .001 and more than a margin of 1 %; but 5 % are granted."""
    sample = hits("failures", (18, 400), (0, 200))
    assert judged("failures", sample, margin=0.01).p < 0.002
    assert judged("failures", sample, margin=0.01).verdict is not Verdict.FAILED
    assert judged("failures", hits("failures", (60, 400), (0, 200)), margin=0.01).verdict is Verdict.FAILED


def rollout(**fields: object) -> Rollout:
    return Rollout(
        id=1,
        spec=spec_of(**fields),
        index_sha256=index_of("2.0.0"),
        status=RolloutStatus.RUNNING,
        since=0.0,
        reason="",
    )


BAKES = Wave(
    index=0,
    name="canary",
    bake_s=100.0,
    pause_after=False,
    size=20,
    status=WaveStatus.BAKING,
    judge="compare",
)


def test_a_bake_is_looked_at_as_often_as_the_file_says() -> None:
    for looks, first in ((1, 100), (2, 50), (4, 25), (10, 10)):
        asked = rollout(analysis=[{"metric": "latency", "looks": looks}])
        seen = [t for t in range(101) if due_look(asked, BAKES, waves=1, now=float(t)) is not None]
        assert seen[0] == first, looks


@pytest.mark.parametrize("said", OnInconclusive)
def test_a_bake_that_may_not_be_extended_spends_all_of_its_risk_at_its_end(said: OnInconclusive) -> None:
    look = due_look(rollout(on_inconclusive=said.value), BAKES, waves=1, now=100.0)
    assert look is not None
    assert look.may_extend is (said is OnInconclusive.EXTEND)
    assert look.pass_level(0.025) == pytest.approx(0.02 if look.may_extend else 0.025)
