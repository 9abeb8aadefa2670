"""Abort rules: when enough failed that the release is to blame (rollouts 3.2, 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.abort import AbortRule, Action, Failure
from limosa_server.core.counts import Counts

MIN_EXECUTED_DEFAULT = 10  # rollouts 3.3; at most the group, so that five devices are usable (5.0)


def wilson_lower(failed: int, executed: int, *, confidence: float = 0.95) -> float:
    """One-sided lower confidence bound of failed/executed; 0 for none executed.

    Source: E. B. Wilson, JASA 22 (1927); at a true 3 % against 10 % it aborts falsely in 0.6 %.

    >>> [round(wilson_lower(k, n), 3) for k, n in ((1, 1), (1, 10), (3, 10), (4, 10), (50, 50))]
    [0.27, 0.023, 0.127, 0.194, 0.949]
    """
    if executed == 0:
        return 0.0
    z = NormalDist().inv_cdf(confidence)
    share = failed / executed
    spread = z * math.sqrt(share * (1 - share) / executed + z * z / (4 * executed * executed))
    return max(0.0, (share + z * z / (2 * executed) - spread) / (1 + z * z / executed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """An abort rule that fired, and why."""

    rule: int  # its place in the file
    action: Action
    failed: int
    sentence: str
    numbers: dict[str, JsonValue]


def evaluate(
    rule: AbortRule, place: int, counts: Counts, *, silent: int, group: int, scope: str
) -> Fired | None:
    """None unless the rule fires on these counts. `silent` devices count only where the rule says so."""
    failed = counts.failures(rule.failure)
    executed = counts.executed
    if rule.failure is Failure.SILENT:
        failed, executed = silent, executed + silent
    needed = rule.min_executed or min(MIN_EXECUTED_DEFAULT, group)
    bound = wilson_lower(failed, executed, confidence=rule.confidence)
    numbers: dict[str, JsonValue] = {
        "rule": place,
        "scope": scope,
        "failed": failed,
        "executed": executed,
        "min_executed": needed,
        "lower_bound": round(bound, 6),
        "threshold": rule.threshold,
        "confidence": rule.confidence,
        **({"hard_stop_count": rule.hard_stop_count} if rule.hard_stop_count is not None else {}),
    }
    hard = rule.hard_stop_count is not None and failed >= rule.hard_stop_count
    if not hard and (failed == 0 or executed < needed or bound <= rule.threshold):
        return None
    what = "executed devices " + (
        "failed" if rule.failure is Failure.ALL else rule.failure.value.replace("_", " ")
    )
    if rule.failure is Failure.SILENT:
        what = "devices were not heard of since they switched"
    why = (
        f"the hard stop is {rule.hard_stop_count}"
        if hard
        else f"at least {bound:.0%} with {rule.confidence:.0%} confidence, {rule.threshold:.0%} is allowed"
    )
    return Fired(
        rule=place,
        action=rule.action,
        failed=failed,
        sentence=f"{failed} of {executed} {what} ({scope}): {why}",
        numbers=numbers,
    )
