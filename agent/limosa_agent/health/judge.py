"""Is the new version healthy? A pure verdict from facts (agent 4.2).

Each check gives a reason code of `reason_codes.py`, and as evidence its numbers beside its limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from limosa_agent.health.config import LIMITS, HealthLimits
from limosa_agent.health.facts import Failed, Passed, TrialFacts, Undecided, Verdict
from limosa_agent.health.measures import class_distance, count_above, quantile_us, surely_slower
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue

Check: TypeAlias = Callable[[TrialFacts, HealthLimits], Reason | None]


def judge(facts: TrialFacts, *, limits: HealthLimits = LIMITS) -> Verdict:
    """Failures as soon as they are sure; success when the trial's length is reached."""
    for check in CHECKS:
        failed = check(facts, limits)
        if failed is not None:
            return Failed(reason=failed)
    return _length(facts, limits)


def _length(facts: TrialFacts, limits: HealthLimits) -> Verdict:
    trial, n = facts.trial, facts.candidate.n
    enough = min(limits.min_sample, trial.inferences)
    over = facts.elapsed_s >= trial.seconds
    at_last = facts.elapsed_s >= trial.max_seconds
    if not at_last and trial.commit_needs_link and not facts.link_up:
        return Undecided()
    if not at_last and any(probe.waiting for probe in facts.probes):
        return Undecided()
    patience = min(trial.seconds * limits.little_traffic_factor, trial.max_seconds)
    patient = facts.elapsed_s < patience
    if over and (n >= trial.inferences or (n >= enough and not patient)):
        return _passed(facts, "the trial was passed on live traffic")
    if not over or (n > 0 and patient):
        return Undecided()
    if facts.replay is None:
        return Undecided(wants_replay=True)
    return _passed(facts, "little or no traffic: golden vectors were replayed instead")


def _passed(facts: TrialFacts, message: str) -> Passed:
    return Passed(
        manifest_sha256=facts.candidate.manifest_sha256,
        reason=Reason(code="healthy", message=message, evidence=trial_evidence(facts)),
    )


def _errors(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    """Fails as soon as the trial's whole length could not make it good again."""
    seen = facts.candidate.n + facts.candidate.errors
    allowed = facts.trial.max_error_ratio * max(seen, facts.trial.inferences)
    if facts.candidate.errors <= allowed:
        return None
    message = f"{facts.candidate.errors} of {seen} inferences failed"
    return _reason(facts, "error_rate", message, max_error_ratio=facts.trial.max_error_ratio)


def _nan(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    allowed = facts.trial.max_error_ratio * max(facts.candidate.n, facts.trial.inferences)
    if facts.candidate.nan_outputs <= allowed:
        return None
    message = f"{facts.candidate.nan_outputs} answers hold NaN"
    return _reason(facts, "nan_outputs", message, max_error_ratio=facts.trial.max_error_ratio)


def _refused(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    seen = facts.candidate.n + facts.candidate.refused
    if seen < min(limits.min_sample, facts.trial.inferences):
        return None
    share = facts.candidate.refused / seen
    before = facts.previous
    usual = before.refused / max(1, before.n + before.refused) if before else 0.0
    if share <= usual + limits.refused_ratio:
        return None
    message = f"{share:.0%} of requests do not fit the new schema"
    return _reason(
        facts,
        "refused_inputs",
        message,
        refused_ratio=round(share, 4),
        refused_ratio_before=round(usual, 4),
        refused_ratio_more_allowed=limits.refused_ratio,
    )


def _memory(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    rss = facts.candidate.rss_bytes
    if 0 < facts.memory_max_bytes < rss:
        message = f"the worker uses {rss} bytes, {facts.memory_max_bytes} are allowed"
        return _reason(facts, "memory", message, memory_max_bytes=facts.memory_max_bytes)
    before = facts.previous.rss_bytes if facts.previous else 0
    allowed = round(max(limits.memory_ratio * before, before + limits.memory_floor_bytes))
    if not before or rss <= allowed:
        return None
    message = f"the worker uses {rss} bytes, with the previous version it used {before}"
    return _reason(facts, "memory", message, previous_rss_bytes=before, memory_max_bytes=allowed)


def _growth(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    growth = facts.growth
    if growth is None:
        return None
    message = (
        f"the worker's memory grew from {growth.from_bytes} to {growth.to_bytes} bytes in {growth.steps} "
        f"steps of {growth.step_s:g} s, and grows on"
    )
    return _reason(
        facts,
        "memory_growth",
        message,
        from_bytes=growth.from_bytes,
        to_bytes=growth.to_bytes,
        steps=growth.steps,
        growth_max_bytes=limits.growth_bytes,
    )


def _replayed(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    if facts.replay is None or facts.replay.failed == 0:
        return None
    message = f"{facts.replay.failed} of {facts.replay.n} golden vectors failed in the serving worker"
    return _reason(facts, "golden_mismatch", message, failed=facts.replay.failed)


def _latency(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    """p95 against the previous version's own: fails when surely more than 5 % are above the limit."""
    before, seen = facts.previous, facts.candidate.latency
    if before is None or min(sum(seen), sum(before.latency)) < limits.min_sample:
        return None
    usual = quantile_us(before.latency, 0.95)
    allowed = max(facts.trial.max_latency_ratio * usual, limits.latency_floor_us)
    if not surely_slower(seen, allowed, sigmas=limits.latency_sigmas):
        return None
    slow = count_above(seen, allowed)
    message = f"{slow} of {sum(seen)} inferences took longer than {allowed / 1000:.1f} ms"
    return _reason(facts, "latency", message, slow=slow, previous_p95_us=usual, max_us=allowed)


def _collapse(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    n = sum(facts.candidate.classes)
    if n < min(limits.min_sample, facts.trial.inferences) or not sum(facts.baseline_classes):
        return None
    distance = class_distance(facts.candidate.classes, facts.baseline_classes)
    allowed = facts.trial.max_class_distance
    if distance <= allowed:
        return None
    message = f"the outputs' classes are {distance:.2f} away from the baseline's"
    return _reason(facts, "output_collapse", message, distance=round(distance, 4), max_class_distance=allowed)


def _probes(facts: TrialFacts, limits: HealthLimits) -> Reason | None:
    for probe in facts.probes:
        if probe.failing:
            message = f"probe {probe.name!r}: {probe.bad} of the last {probe.of} answers are bad"
            return _reason(
                facts, "probe_failed", message, probe=probe.name, bad=probe.bad, fail=probe.fail,
                of=probe.of, asked=probe.asked, said=probe.said,
            )  # fmt: skip
    return None


CHECKS: Final[tuple[Check, ...]] = (
    _errors,
    _nan,
    _refused,
    _memory,
    _growth,
    _replayed,
    _latency,
    _collapse,
    _probes,
)


def trial_evidence(facts: TrialFacts) -> dict[str, JsonValue]:
    """The numbers of a trial so far."""
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
    if facts.probes:
        evidence["probes"] = {
            probe.name: "excused" if probe.excused else f"{probe.bad} bad of {min(probe.asked, probe.of)}"
            for probe in facts.probes
        }
    return evidence


def _reason(facts: TrialFacts, code: str, message: str, **more: JsonValue) -> Reason:
    return Reason(code=code, message=message, evidence={**trial_evidence(facts), **more})
