"""Is a committed version still healthy? Windows of what it answered, judged one by one (agent 4.3).

A check has to fail in every window for `sustain_s`; one good window begins anew, one without traffic
changes nothing. Pure: monotonic time comes in, so a clock that is set does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from limosa_agent.health.config import HealthLimits
from limosa_agent.health.facts import Observed, ProbeFacts
from limosa_agent.health.measures import class_distance, count_above, quantile_us, surely_slower
from limosa_agent.health.memory_trend import MemoryTrend
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue

REFERENCE_WINDOWS: Final = 5  # the first ones with traffic: this version's own usual latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check on one window. `failed` is None where all is well."""

    code: str
    failed: Reason | None


@dataclass(slots=True, kw_only=True)
class LateWatch:
    """One committed version of one model, since it was first seen by this start of the agent."""

    manifest_sha256: str
    limits: HealthLimits
    began_s: float
    baseline_classes: Sequence[int] = ()
    memory_max_bytes: int = 0
    generation: int = -1
    seen: Observed | None = None  # the last snapshot
    failing_since: dict[str, float] = field(default_factory=dict)  # code -> when it began
    reasons: dict[str, Reason] = field(default_factory=dict)  # the latest of what fails
    _before: Observed | None = None  # as of the window's beginning
    _window_s: float = 0.0
    _reference: list[int] = field(default_factory=list)
    _windows: int = 0
    _trend: MemoryTrend = field(init=False)

    def __post_init__(self) -> None:
        self._trend = MemoryTrend(limits=self.limits)

    def observe(self, seen: Observed, *, generation: int, now_s: float, youngest: bool = True) -> None:
        """A cumulative snapshot. `youngest`: memory of the worker is laid at this model's door."""
        self.seen = seen
        if generation != self.generation or self._before is None:
            self.generation = generation
            self._before, self._window_s = _zero(seen), now_s
            self._trend = MemoryTrend(limits=self.limits)
        if youngest:
            self._trend.note(seen.rss_bytes, now_s=now_s)
            for finding in memory_findings(seen, self._trend, self.limits, max_bytes=self.memory_max_bytes):
                self._note(finding, now_s)
        if now_s - self._window_s >= self.limits.watch_window_s:
            window = difference(seen, self._before)
            if window.n + window.errors >= self.limits.min_sample:
                self._judge(window, now_s)
                self._before, self._window_s = seen, now_s

    def hear(self, probes: Sequence[ProbeFacts], *, now_s: float) -> None:
        """What the probes say of it. One that never passed since then says nothing of this version."""
        failing = [probe for probe in probes if probe.failing and probe.passed]
        reason = None
        if failing:
            probe = failing[0]
            reason = Reason(
                code="probe_failed",
                message=f"probe {probe.name!r}: {probe.bad} of the last {probe.of} answers are bad",
                evidence={"probe": probe.name, "bad": probe.bad, "of": probe.of, "said": probe.said},
            )
        self._note(Finding(code="probe_failed", failed=reason), now_s)

    def verdict(self, *, now_s: float) -> Reason | None:
        """What has failed for long enough, with how long as evidence."""
        for code in sorted(self.failing_since):
            for_s = now_s - self.failing_since[code]
            needed = self.limits.collapse_sustain_s if code == "output_collapse" else self.limits.sustain_s
            if for_s >= needed:
                reason = self.reasons[code]
                more: dict[str, JsonValue] = {"failing_for_s": round(for_s, 1), "sustain_s": needed}
                return Reason(code=code, message=reason.message, evidence={**reason.evidence, **more})
        return None

    def _judge(self, window: Observed, now_s: float) -> None:
        for finding in window_findings(
            window, reference=self._reference, baseline=self.baseline_classes, limits=self.limits
        ):
            self._note(finding, now_s)
        if self._windows < REFERENCE_WINDOWS and sum(window.latency) > 0:
            self._windows += 1
            old = self._reference or [0] * len(window.latency)
            self._reference = [a + b for a, b in zip(old, window.latency, strict=True)]

    def _note(self, finding: Finding, now_s: float) -> None:
        if finding.failed is None:
            self.failing_since.pop(finding.code, None)
            self.reasons.pop(finding.code, None)
        else:
            self.failing_since.setdefault(finding.code, now_s)
            self.reasons[finding.code] = finding.failed


def window_findings(
    window: Observed, *, reference: Sequence[int], baseline: Sequence[int], limits: HealthLimits
) -> Iterator[Finding]:
    """Every check that this window allows; one that it does not allow gives nothing."""
    seen = window.n + window.errors
    yield _share("error_rate", "inferences failed", window.errors, seen, limits.late_error_ratio)
    if window.n:
        yield _share("nan_outputs", "answers hold NaN", window.nan_outputs, window.n, limits.late_nan_ratio)
    if sum(reference) >= limits.min_sample and sum(window.latency) >= limits.min_sample:
        yield _latency(window, reference, limits)
    if sum(baseline) and sum(window.classes) >= limits.min_sample:
        distance = class_distance(window.classes, baseline)
        allowed = limits.late_class_distance
        failed = Reason(
            code="output_collapse",
            message=f"the outputs' classes are {distance:.2f} away from the baseline's",
            evidence={
                "n": window.n, "distance": round(distance, 4), "max_class_distance": allowed
            },
        )  # fmt: skip
        yield Finding(code=failed.code, failed=failed if distance > allowed else None)


def memory_findings(
    seen: Observed, trend: MemoryTrend, limits: HealthLimits, *, max_bytes: int
) -> Iterator[Finding]:
    over = 0 < max_bytes < seen.rss_bytes
    failed = Reason(
        code="memory",
        message=f"the worker uses {seen.rss_bytes} bytes, {max_bytes} are allowed",
        evidence={"rss_bytes": seen.rss_bytes, "memory_max_bytes": max_bytes},
    )
    yield Finding(code="memory", failed=failed if over else None)
    growth, grown = trend.growth, None
    if growth is not None:
        grown = Reason(
            code="memory_growth",
            message=f"the worker's memory grew from {growth.from_bytes} to {growth.to_bytes} bytes",
            evidence={
                "from_bytes": growth.from_bytes,
                "to_bytes": growth.to_bytes,
                "steps": growth.steps,
                "step_s": growth.step_s,
                "growth_max_bytes": limits.growth_bytes,
            },
        )
    yield Finding(code="memory_growth", failed=grown)


def difference(now: Observed, before: Observed) -> Observed:
    """What came between two cumulative snapshots of one generation."""

    def less(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
        return tuple(max(0, x - y) for x, y in zip(a, b, strict=True)) if len(a) == len(b) else tuple(a)

    return Observed(
        manifest_sha256=now.manifest_sha256,
        n=max(0, now.n - before.n),
        errors=max(0, now.errors - before.errors),
        refused=max(0, now.refused - before.refused),
        nan_outputs=max(0, now.nan_outputs - before.nan_outputs),
        latency=less(now.latency, before.latency),
        classes=less(now.classes, before.classes),
        rss_bytes=now.rss_bytes,
    )


def _latency(window: Observed, reference: Sequence[int], limits: HealthLimits) -> Finding:
    usual = quantile_us(reference, 0.95)
    allowed = max(limits.late_latency_ratio * usual, limits.latency_floor_us)
    slow = count_above(window.latency, allowed)
    failed = Reason(
        code="latency",
        message=f"{slow} of {sum(window.latency)} inferences took longer than {allowed / 1000:.1f} ms",
        evidence={"n": window.n, "slow": slow, "usual_p95_us": usual, "max_us": allowed},
    )
    slower = surely_slower(window.latency, allowed, sigmas=limits.latency_sigmas)
    return Finding(code="latency", failed=failed if slower else None)


def _share(code: str, what: str, bad: int, of: int, allowed: float) -> Finding:
    failed = Reason(
        code=code,
        message=f"{bad} of {of} {what}",
        evidence={"n": of, "bad": bad, "max_ratio": allowed},
    )
    return Finding(code=code, failed=failed if bad > allowed * of else None)


def _zero(seen: Observed) -> Observed:
    return Observed(
        manifest_sha256=seen.manifest_sha256,
        latency=(0,) * len(seen.latency),
        classes=(0,) * len(seen.classes),
    )
