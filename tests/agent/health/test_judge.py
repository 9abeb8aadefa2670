"""Verdicts of a probation (agent 4.2)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.health.config import LIMITS
from limosa_agent.health.facts import (
    Failed,
    Growth,
    Observed,
    Passed,
    ProbeFacts,
    Replay,
    TrialFacts,
    Undecided,
    Verdict,
)
from limosa_agent.health.judge import judge
from limosa_agent.health.measures import class_distance
from limosa_contracts.desired import Trial
from limosa_contracts.window import LATENCY_EDGES_US

TRIAL = Trial(inferences=20, seconds=5.0, max_seconds=60.0)
EVEN = (100,) * 6


def latencies(us: float, n: int) -> tuple[int, ...]:
    bucket = next((i for i, edge in enumerate(LATENCY_EDGES_US) if edge >= us), 31)
    return tuple(n if i == bucket else 0 for i in range(32))


def facts(
    *, elapsed_s: float = 5.0, previous: Observed | None = None, trial: Trial = TRIAL, **seen: Any
) -> TrialFacts:
    replay = seen.pop("replay", None)
    return TrialFacts(
        trial=trial,
        elapsed_s=elapsed_s,
        candidate=Observed(manifest_sha256="a" * 64, **seen),
        previous=previous,
        baseline_classes=EVEN,
        replay=replay,
        memory_max_bytes=1000,
    )


def code(verdict: Verdict) -> str:
    assert isinstance(verdict, Failed), verdict
    return verdict.reason.code


def test_no_trial_is_over_before_its_time_however_many_answers() -> None:
    assert judge(facts(n=100_000, elapsed_s=4.9)) == Undecided()
    assert isinstance(judge(facts(n=100_000, elapsed_s=5.0)), Passed)


def test_fewer_answers_than_asked_for_are_waited_for_and_then_enough() -> None:
    longer = replace(TRIAL, inferences=1000)
    assert judge(facts(n=30, trial=longer)) == Undecided()
    assert isinstance(judge(facts(n=30, trial=longer, elapsed_s=15.0)), Passed)


def test_enough_good_answers_pass_and_name_the_digest() -> None:
    verdict = judge(facts(n=20, classes=(3, 3, 4, 3, 3, 4)))
    assert isinstance(verdict, Passed)
    assert verdict.manifest_sha256 == "a" * 64


def test_too_few_answers_wait() -> None:
    assert judge(facts(n=3)) == Undecided()
    assert judge(facts(n=3, elapsed_s=6.0)) == Undecided()


def test_no_traffic_asks_for_golden_vectors_and_says_so() -> None:
    assert judge(facts(elapsed_s=5.0)) == Undecided(wants_replay=True)
    verdict = judge(facts(elapsed_s=5.0, replay=Replay(n=4, failed=0)))
    assert isinstance(verdict, Passed)
    assert verdict.reason.evidence["replayed"] == 4
    assert code(judge(facts(elapsed_s=5.0, replay=Replay(n=4, failed=1)))) == "golden_mismatch"


def test_little_traffic_is_completed_by_golden_vectors_after_patience() -> None:
    assert judge(facts(n=3, elapsed_s=15.0)) == Undecided(wants_replay=True)


def test_errors_fail_as_soon_as_the_trial_cannot_make_them_good() -> None:
    assert code(judge(facts(n=5, errors=1))) == "error_rate"
    long = Trial(inferences=1000, seconds=600)
    assert judge(facts(n=5, errors=1, trial=long)) == Undecided()


def test_nan_refused_memory_and_latency_have_their_own_reasons() -> None:
    assert code(judge(facts(n=20, nan_outputs=3))) == "nan_outputs"
    before = Observed(manifest_sha256="b" * 64, n=500, latency=latencies(9000, 500))
    assert code(judge(facts(n=10, refused=20, previous=before))) == "refused_inputs"
    assert code(judge(facts(n=20, rss_bytes=1001))) == "memory"
    assert code(judge(facts(n=20, latency=latencies(60_000, 20), previous=before))) == "latency"
    assert isinstance(judge(facts(n=20, latency=latencies(12_000, 20), previous=before)), Passed)


def test_collapsed_outputs_fail_with_twenty_inferences() -> None:
    assert code(judge(facts(n=20, classes=(20, 0, 0, 0, 0, 0)))) == "output_collapse"


def test_small_honest_samples_are_not_called_collapsed() -> None:
    chance = random.Random(7)
    alarms = 0
    for _ in range(2000):
        picks = [chance.randrange(6) for _ in range(20)]
        classes = tuple(picks.count(i) for i in range(6))
        alarms += isinstance(judge(facts(n=20, classes=classes)), Failed)
    assert alarms == 0


def test_commit_waits_for_the_link_only_where_the_trial_says_so() -> None:
    needing = Trial(inferences=20, seconds=5.0, max_seconds=60.0, commit_needs_link=True)
    cut = replace(facts(n=30, trial=needing), link_up=False)
    assert judge(cut) == Undecided()
    assert isinstance(judge(replace(cut, elapsed_s=61.0)), Passed)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8))
def test_distance_is_a_share(counts: list[int]) -> None:
    assert 0.0 <= class_distance(counts, [10] * len(counts)) <= 1.0
    assert class_distance([10 * c for c in counts], counts) < 1e-9


def test_memory_is_judged_against_the_previous_version_too() -> None:
    mib = 1024**2
    before = Observed(manifest_sha256="b" * 64, n=500, rss_bytes=80 * mib)
    roomy = replace(facts(n=20, previous=before, rss_bytes=200 * mib), memory_max_bytes=0)
    assert isinstance(judge(roomy), Passed), "a larger model is no fault"
    verdict = judge(replace(roomy, candidate=replace(roomy.candidate, rss_bytes=250 * mib)))
    assert code(verdict) == "memory"
    assert isinstance(verdict, Failed)
    assert verdict.reason.evidence["previous_rss_bytes"] == 80 * mib
    assert verdict.reason.evidence["memory_max_bytes"] == 240 * mib


def test_growing_memory_has_its_own_reason() -> None:
    growth = Growth(steps=6, step_s=10.0, from_bytes=1 << 26, to_bytes=1 << 28)
    assert code(judge(replace(facts(n=20), growth=growth))) == "memory_growth"


def test_a_commit_waits_for_every_probe_to_pass_but_not_for_ever() -> None:
    silent = ProbeFacts(name="camera")
    waiting = replace(facts(n=20), probes=(silent,))
    assert judge(waiting) == Undecided()
    assert isinstance(judge(replace(waiting, elapsed_s=61.0)), Passed)
    assert isinstance(judge(replace(waiting, probes=(replace(silent, passed=True),))), Passed)
    assert isinstance(judge(replace(waiting, probes=(replace(silent, excused=True),))), Passed)


def test_a_probe_that_fails_fails_the_trial_and_says_why() -> None:
    bad = ProbeFacts(name="camera", asked=3, bad=3, fail=3, of=5, said="exit code 7: no frame")
    verdict = judge(replace(facts(n=20), probes=(bad,)))
    assert code(verdict) == "probe_failed"
    assert isinstance(verdict, Failed)
    assert verdict.reason.evidence["said"] == "exit code 7: no frame"


def test_every_failure_carries_its_limit() -> None:
    before = Observed(manifest_sha256="b" * 64, n=500, latency=latencies(9000, 500))
    for seen, limit in (
        ({"n": 5, "errors": 1}, "max_error_ratio"),
        ({"n": 20, "nan_outputs": 3}, "max_error_ratio"),
        ({"n": 10, "refused": 20, "previous": before}, "refused_ratio_more_allowed"),
        ({"n": 20, "rss_bytes": 1001}, "memory_max_bytes"),
        ({"n": 20, "latency": latencies(60_000, 20), "previous": before}, "max_us"),
        ({"n": 20, "classes": (20, 0, 0, 0, 0, 0)}, "max_class_distance"),
    ):
        verdict = judge(facts(**seen))
        assert isinstance(verdict, Failed)
        assert limit in verdict.reason.evidence


def test_requests_that_never_fitted_are_not_laid_at_the_new_versions_door() -> None:
    """A client that sends rubbish half of the time did so with the previous version (agent 4.2)."""
    half = Observed(manifest_sha256="b" * 64, n=50, refused=50)
    tenth = Observed(manifest_sha256="b" * 64, n=90, refused=10)
    assert isinstance(judge(facts(n=20, refused=40, previous=half)), Passed)
    assert code(judge(facts(n=20, refused=40, previous=tenth))) == "refused_inputs"
    assert code(judge(facts(n=20, refused=40))) == "refused_inputs"


def test_one_nan_among_the_first_answers_is_held_against_the_whole_trial() -> None:
    """Of ten so far it is a tenth; of the hundred that the trial is long it is allowed."""
    trial = replace(TRIAL, inferences=100, max_error_ratio=0.02)
    assert judge(facts(n=10, nan_outputs=2, trial=trial)) == Undecided()
    assert code(judge(facts(n=10, nan_outputs=3, trial=trial))) == "nan_outputs"


def test_twice_as_slow_as_a_fifth_of_a_millisecond_is_not_slow() -> None:
    """Below the floor a ratio is noise: the scheduler's, not the model's."""
    previous = Observed(manifest_sha256="b" * 64, n=100, latency=latencies(100.0, 100))
    assert isinstance(
        judge(facts(n=100, latency=latencies(LIMITS.latency_floor_us / 2, 100), previous=previous)), Passed
    )
    slow = facts(n=100, latency=latencies(LIMITS.latency_floor_us * 20, 100), previous=previous)
    assert code(judge(slow)) == "latency"
