"""What one probe answered lately, and what it says of a version (agent 4.2). Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from limosa_agent.health.facts import ProbeFacts
from limosa_agent.health.probe_config import RESULTS_MAX, ProbeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """`asked_s` is monotonic, of the moment the question was asked: what was asked before a switch says
    nothing of what serves after it."""

    asked_s: float
    ok: bool
    said: str = ""
    took_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class ProbeResults:
    probe: ProbeConfig
    results: deque[ProbeResult] = field(default_factory=lambda: deque(maxlen=RESULTS_MAX))
    passed_s: float = float("-inf")  # when it was asked last what it answered well

    def note(self, result: ProbeResult) -> None:
        self.results.append(result)
        if result.ok:
            self.passed_s = result.asked_s

    def failing_before(self, moment_s: float) -> bool:
        """Whether N of the last M answers to what was asked before the moment are bad."""
        last = [r for r in self.results if r.asked_s < moment_s][-self.probe.of :]
        return sum(not r.ok for r in last) >= self.probe.fail

    def since(self, moment_s: float, *, failed_before: bool) -> ProbeFacts:
        """Of what was asked since. In the grace only good answers count; where the probe failed
        before the moment, nothing counts until it has passed once."""
        grace_s = moment_s + self.probe.start_grace_s
        asked = [r for r in self.results if r.asked_s >= moment_s]
        counted = [r for r in asked if r.ok or r.asked_s >= grace_s]
        passed = self.passed_s >= moment_s
        if failed_before:
            first = next((i for i, r in enumerate(counted) if r.ok), 0)  # it may be forgotten by now
            counted = counted[first:] if passed else []
        last = counted[-self.probe.of :]
        bad = [r for r in last if not r.ok]
        return ProbeFacts(
            name=self.probe.name,
            asked=len(asked),
            bad=len(bad),
            fail=self.probe.fail,
            of=self.probe.of,
            passed=passed,
            excused=failed_before and not passed,
            said=bad[-1].said if bad else "",
        )
