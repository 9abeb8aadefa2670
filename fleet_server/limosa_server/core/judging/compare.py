"""The `compare` judge: a wave against devices that stayed, at the same time (rollouts 5). Pure.

Equal inputs give an equal record, byte for byte: time, chance and order have no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_server.core.judging.finding import Finding, Measured, judge_metric
from limosa_server.core.judging.judge import Decision, Verdict
from limosa_server.core.judging.samples import Comparison
from limosa_server.core.judging.spending import holm
from limosa_server.core.judging.wording import sentence

COMPARED: Final = "compared"
"""The kind of decision this is."""
JUDGE: Final = "compare/1"
"""Of these rules. A change that may change a verdict takes the next number, and `explain` says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`helps_to_wait`: more of the bake may decide what is open; more devices alone would not."""

    verdict: Verdict
    decision: Decision
    helps_to_wait: bool


def compare(inputs: Comparison, *, wave: int) -> Judged:
    """The verdict of one look and its record. Before the end of a bake: FAILED or INCONCLUSIVE."""
    findings = find(inputs)
    verdict = verdict_of(findings, last=inputs.look.last)
    numbers: dict[str, JsonValue] = {
        "judge": JUDGE,
        "look": inputs.look.as_json(),
        "devices": list(inputs.devices),
        "findings": [finding.as_json() for finding in findings],
    }
    decision = Decision(
        kind=COMPARED,
        verdict=verdict.value,
        sentence=sentence(inputs, findings, verdict),
        numbers=numbers,
        wave=wave,
        inputs=inputs.encode(),
    )
    return Judged(verdict=verdict, decision=decision, helps_to_wait=any(map(_may_tell, findings)))


def _may_tell(finding: Finding) -> bool:
    open_still = finding.verdict is Verdict.INCONCLUSIVE and not finding.ignored
    return open_still and (finding.harm is None or finding.more_of_bake > 0)


def find(inputs: Comparison) -> tuple[Finding, ...]:
    """One finding per rule, in the order of the rules."""
    measured = [Measured(rule, inputs.sample(rule.metric)) for rule in inputs.rules]
    p = {one.rule.metric: one.p() if one.enough else 1.0 for one in measured}
    levels = _levels(inputs, measured, p)
    return tuple(
        judge_metric(one, inputs.look, p=p[one.rule.metric], level=levels[one.rule.metric])
        for one in measured
    )


def _levels(inputs: Comparison, measured: Sequence[Measured], p: dict[str, float]) -> dict[str, float]:
    """Critical metrics have a risk of their own each; the others share one, by Holm (rollouts 5.5)."""
    look = inputs.look
    levels = {one.rule.metric: look.fail_level(one.rule.alpha) for one in measured if one.rule.critical}
    shared = [one for one in measured if not one.rule.critical and one.enough]
    if shared:
        level = look.fail_level(min(one.rule.alpha for one in shared))
        levels |= holm({one.rule.metric: p[one.rule.metric] for one in shared}, level)
    return {one.rule.metric: levels.get(one.rule.metric, 0.0) for one in measured}


def verdict_of(findings: Sequence[Finding], *, last: bool) -> Verdict:
    """Any failure fails; only a whole bake in which everything passed, and something was seen, passes."""
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        return Verdict.FAILED
    counted = [finding for finding in findings if not finding.ignored]
    if last and counted and all(finding.verdict is Verdict.PASSED for finding in counted):
        return Verdict.PASSED
    return Verdict.INCONCLUSIVE
