"""Is the new version healthy? A pure verdict from facts (agent 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from limosa_contracts.desired import Trial
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue
from limosa_contracts.window import LATENCY_EDGES_US


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    min_sample: int = 20  # fewer inferences say nothing about classes or latency
    latency_floor_us: float = 10_000.0  # p95 below it never fails: schedulers alone are as slow
    latency_sigmas: float = 3.0  # how sure one must be that more than 5 % are too slow
    refused_ratio: float = 0.5  # requests against the schema, where the previous had few
    little_traffic_factor: float = 3.0  # × trial.seconds, then golden vectors complete a small sample


LIMITS: Final = HealthLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one digest did; cumulative. `rss_bytes` is of its worker."""

    manifest_sha256: str
    n: int = 0  # answered
    errors: int = 0
    refused: int = 0
    nan_outputs: int = 0
    latency: Sequence[int] = ()  # 32 buckets, limosa_contracts.window.LATENCY_EDGES_US
    classes: Sequence[int] = ()
    rss_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Golden vectors answered by the serving worker."""

    n: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """`previous` is the version before, over its whole life in its worker; `classes` of the baseline."""

    trial: Trial
    elapsed_s: float
    candidate: Observed
    previous: Observed | None = None
    baseline_classes: Sequence[int] = ()
    replay: Replay | None = None
    memory_max_bytes: int = 0  # 0: no limit
    link_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    manifest_sha256: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """`wants_replay`: golden vectors should be replayed now, for want of traffic."""

    wants_replay: bool = False


Verdict: TypeAlias = Passed | Failed | Undecided


def judge(facts: TrialFacts, *, limits: HealthLimits = LIMITS) -> Verdict:
    """Failures as soon as they are sure; success when the trial's length is reached."""
    for check in (_errors, _nan, _refused, _memory, _replayed, _latency, _collapse):
        failed = check(facts, limits)
        if failed is not None:
            return Failed(reason=failed)
    return _length(facts, limits)


def _length(facts: TrialFacts, limits: HealthLimits) -> Verdict:
    trial, n = facts.trial, facts.candidate.n
    enough = min(limits.min_sample, trial.inferences)
    over = facts.elapsed_s >= trial.seconds
    if trial.commit_needs_link and not facts.link_up and facts.elapsed_s < trial.max_seconds:
        return Undecided()
    if n >= trial.inferences or (over and n >= enough):
        return _passed(facts, "the trial was passed on live traffic")
    patience = min(trial.seconds * limits.little_traffic_factor, trial.max_seconds)
    if not over or (n > 0 and facts.elapsed_s < patience):
        return Undecided()
    if facts.replay is None:
        return Undecided(wants_replay=True)
    return _passed(facts, "little or no traffic: golden vectors were replayed instead")


def _passed(facts: TrialFacts, message: str) -> Passed:
    evidence = _evidence(facts)
    return Passed(
        manifest_sha256=facts.candidate.manifest_sha256,
        reason=Reason(code="healthy", message=message, evidence=evidence),
    )


def _errors(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    """Fails as soon as the trial's whole length could not make it good again."""
    seen = facts.candidate.n + facts.candidate.errors
    allowed = facts.trial.max_error_ratio * max(seen, facts.trial.inferences)
    if facts.candidate.errors <= allowed:
        return None
    return _reason(facts, "error_rate", f"{facts.candidate.errors} of {seen} inferences failed")


def _nan(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    allowed = facts.trial.max_error_ratio * max(facts.candidate.n, facts.trial.inferences)
    if facts.candidate.nan_outputs <= allowed:
        return None
    return _reason(facts, "nan_outputs", f"{facts.candidate.nan_outputs} answers hold NaN")


def _refused(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    seen = facts.candidate.n + facts.candidate.refused
    if seen < min(limits.min_sample, facts.trial.inferences):
        return None
    share = facts.candidate.refused / seen
    before = facts.previous
    usual = before.refused / max(1, before.n + before.refused) if before else 0.0
    if share <= usual + limits.refused_ratio:
        return None
    return _reason(facts, "refused_inputs", f"{share:.0%} of requests do not fit the new schema")


def _memory(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    if not 0 < facts.memory_max_bytes < facts.candidate.rss_bytes:
        return None
    message = f"the worker uses {facts.candidate.rss_bytes} bytes, {facts.memory_max_bytes} are allowed"
    return _reason(facts, "memory", message)


def _replayed(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    if facts.replay is None or facts.replay.failed == 0:
        return None
    message = f"{facts.replay.failed} of {facts.replay.n} golden vectors failed in the serving worker"
    return _reason(facts, "golden_mismatch", message)


def _latency(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    """p95 against the previous version's own: fails when surely more than 5 % are above the limit."""
    before = facts.previous
    if before is None or min(facts.candidate.n, before.n) < limits.min_sample:
        return None
    allowed = max(facts.trial.max_latency_ratio * quantile_us(before.latency, 0.95), limits.latency_floor_us)
    n = sum(facts.candidate.latency)
    slow = count_above(facts.candidate.latency, allowed)
    if slow <= 1 + 0.05 * n + limits.latency_sigmas * math.sqrt(0.05 * 0.95 * n):
        return None
    message = f"{slow} of {n} inferences took longer than {allowed / 1000:.1f} ms"
    return _reason(facts, "latency", message)


def _collapse(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    n = sum(facts.candidate.classes)
    if n < min(limits.min_sample, facts.trial.inferences) or not sum(facts.baseline_classes):
        return None
    distance = class_distance(facts.candidate.classes, facts.baseline_classes)
    if distance <= facts.trial.max_class_distance:
        return None
    message = f"the outputs' classes are {distance:.2f} away from the baseline's"
    return _reason(facts, "output_collapse", message, distance=round(distance, 4))


def class_distance(live: Sequence[int], baseline: Sequence[int]) -> float:
    """Total variation distance in 0..1, less what sampling alone is expected to give.

    For n rows of a class with probability p the mean of |count/n - p| is √(2p(1-p)/(πn)); half of
    their sum is the expected distance without any change.

    >>> class_distance([50, 50], [500, 500])
    0.0
    >>> round(class_distance([100, 0, 0, 0], [25, 25, 25, 25]), 2)
    0.68
    """
    n, m = sum(live), sum(baseline)
    if not n or not m or len(live) != len(baseline):
        return 0.0
    distance = noise = 0.0
    for count, reference in zip(live, baseline, strict=True):
        p = reference / m
        distance += abs(count / n - p) / 2
        noise += math.sqrt(2 * p * (1 - p) / (math.pi * n)) / 2
    return max(0.0, distance - noise)


def quantile_us(latency: Sequence[int], share: float) -> float:
    """Upper edge of the bucket that holds the quantile, in µs; the last bucket counts double its edge."""
    wanted, seen = share * sum(latency), 0
    for edge, count in zip((*LATENCY_EDGES_US, 2 * LATENCY_EDGES_US[-1]), latency, strict=True):
        seen += count
        if seen >= wanted and seen:
            return float(edge)
    return 0.0


def count_above(latency: Sequence[int], limit_us: float) -> int:
    """Inferences surely slower than the limit: those in buckets that begin at or above it."""
    return sum(
        count for lower, count in zip((0, *LATENCY_EDGES_US), latency, strict=True) if lower >= limit_us
    )


def _evidence(facts: TrialFacts) -> dict[str, JsonValue]:
    seen = facts.candidate
    evidence: dict[str, JsonValue] = {
        "n": seen.n,
        "errors": seen.errors,
        "refused": seen.refused,
        "nan_outputs": seen.nan_outputs,
        "elapsed_s": round(facts.elapsed_s, 3),
    }
    if facts.replay is not None:
        evidence["replayed"] = facts.replay.n
    if sum(seen.latency):
        evidence["p95_us"] = quantile_us(seen.latency, 0.95)
    if seen.rss_bytes:
        evidence["rss_bytes"] = seen.rss_bytes
    return evidence


def _reason(facts: TrialFacts, code: str, message: str, **more: JsonValue) -> Reason:
    return Reason(code=code, message=message, evidence={**_evidence(facts), **more})
