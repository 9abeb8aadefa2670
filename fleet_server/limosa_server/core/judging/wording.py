"""A comparison as a sentence for people (rollouts 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from limosa_contracts.duration import about_duration
from limosa_contracts.rollout.metrics import Kind
from limosa_server.core.judging.finding import Finding
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.samples import Comparison
from limosa_server.core.wording import devices

SHOWN: Final = 3  # findings told in a sentence; the record has all
_OF_RATE: Final = {
    "failures": "failed",
    "crashes": "crashed",
    "silence": "fell silent",
    "errors": "had more errors",
    "refused": "refused more requests",
}


def sentence(inputs: Comparison, findings: Sequence[Finding], verdict: Verdict) -> str:
    """What was found, the worst first, and what it would take where nothing can be said."""
    head = f"wave {inputs.wave}: {devices(inputs.devices[0])} against {inputs.devices[1]} that stayed"
    told = {
        Verdict.FAILED: _failed,
        Verdict.PASSED: _passed,
        Verdict.INCONCLUSIVE: _undecided if inputs.look.last else _so_far,
    }[verdict](inputs, findings)
    return f"{head}: {told}"


def _failed(inputs: Comparison, findings: Sequence[Finding]) -> str:
    bad = [finding for finding in findings if finding.verdict is Verdict.FAILED]
    return "; ".join(worse(finding) for finding in bad[:SHOWN])


def _passed(inputs: Comparison, findings: Sequence[Finding]) -> str:
    parts = [
        f"{finding.metric.replace('_', ' ')} {harm_text(finding)}"
        for finding in findings
        if not finding.ignored
    ]
    return f"all within their margins ({', '.join(parts)}){_unseen(findings)}"


def _so_far(inputs: Comparison, findings: Sequence[Finding]) -> str:
    look = inputs.look
    return f"nothing is surely worse (look {look.number} of {look.of}){_unseen(findings)}"


def _undecided(inputs: Comparison, findings: Sequence[Finding]) -> str:
    open_ones = [f for f in findings if f.verdict is Verdict.INCONCLUSIVE and not f.ignored]
    if not open_ones:
        return f"no metric has enough devices{_unseen(findings)}"
    parts = [f"{_why_open(finding)}{_needs(finding, inputs.baked_s)}" for finding in open_ones[:SHOWN]]
    return "; ".join(parts)


def worse(finding: Finding) -> str:
    """
    >>> from limosa_server.core.judging.judge import Verdict
    >>> worse(Finding(metric="latency", kind=Kind.RATIO, verdict=Verdict.FAILED, n=(20, 80), harm=0.34,
    ...     lower=0.21, upper=0.49, margin=0.2))
    'latency is surely worse, +34% (+21% to +49%), +20% is allowed'
    """
    name = finding.metric.replace("_", " ")
    if finding.harm is None:
        return f"{name}: {finding.n[0]} and {finding.n[1]} devices have told, which counts as a failure"
    if finding.kind is Kind.RATE:
        return (
            f"{finding.hits[0]} of {finding.n[0]} {_OF_RATE.get(finding.metric, name)}, "
            f"{finding.hits[1]} of {finding.n[1]} that stayed"
        )
    between = f" ({_amount(finding, finding.lower)} to {_amount(finding, finding.upper)})"
    return (
        f"{name} is surely worse, {_amount(finding, finding.harm)}{between}, "
        f"{_amount(finding, finding.margin)} is allowed"
    )


def harm_text(finding: Finding) -> str:
    if finding.kind is Kind.RATE:
        return f"{finding.hits[0]} of {finding.n[0]}"
    return f"{_amount(finding, finding.harm)}, at most {_amount(finding, finding.upper)}"


def _why_open(finding: Finding) -> str:
    name = finding.metric.replace("_", " ")
    if finding.harm is None:
        return f"{name}: only {finding.n[0]} and {finding.n[1]} devices have told"
    return (
        f"{name} may be {_amount(finding, finding.upper)} worse, "
        f"{_amount(finding, finding.margin)} is allowed"
    )


def _needs(finding: Finding, baked_s: float) -> str:
    """How much more would decide it (rollouts 5.4)."""
    if not finding.more_devices:
        return ""
    count = finding.more_devices
    more = f"{count} more {'device' if count == 1 else 'devices'}"
    if finding.more_of_bake > 0:
        more += f" or {about_duration(finding.more_of_bake * baked_s)} more"
    return f" (needs {more})"


def _unseen(findings: Sequence[Finding]) -> str:
    names = [finding.metric.replace("_", " ") for finding in findings if finding.ignored]
    return f"; not seen: {', '.join(names)}" if names else ""


def _amount(finding: Finding, value: float | None) -> str:
    if value is None:
        return "?"
    if finding.kind is Kind.DISTANCE:
        return f"{value:+.2f}"
    return f"{value:+.0%}"
