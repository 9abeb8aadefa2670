"""One probation: gathers facts of the candidate and asks for the verdict (agent 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from limosa_agent.health.config import LIMITS, HealthLimits
from limosa_agent.health.facts import Observed, ProbeFacts, Replay, TrialFacts, Undecided, Verdict
from limosa_agent.health.judge import judge
from limosa_agent.health.memory_trend import MemoryTrend
from limosa_agent.health.probe_results import ProbeResults
from limosa_agent.telemetry.windows import Snapshot
from limosa_contracts.baseline import Baseline
from limosa_contracts.desired import Trial
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue


@dataclass(slots=True, kw_only=True)
class Probation:
    """`began_s` is monotonic. A probation decides once; what comes after its verdict is ignored."""

    model: str
    manifest_sha256: str
    trial: Trial
    began_s: float
    limits: HealthLimits = LIMITS
    previous: Observed | None = None
    baseline_classes: tuple[int, ...] = ()
    memory_max_bytes: int = 0
    candidate: Observed | None = None
    replay: Replay | None = None
    replaying: bool = False
    decided: bool = False
    trend: MemoryTrend = field(init=False)
    _failed_before: frozenset[str] | None = None  # probes, as of the beginning

    def __post_init__(self) -> None:
        most_s = min(self.trial.max_seconds, self.limits.trial_max_s)
        self.trial = replace(self.trial, seconds=min(self.trial.seconds, most_s), max_seconds=most_s)
        self.trend = MemoryTrend(limits=self.limits)

    def observe(self, seen: Observed, *, now_s: float, memory: bool = True) -> None:
        """`memory`: the worker's is of now."""
        self.candidate = seen
        if memory:
            self.trend.note(seen.rss_bytes, now_s=now_s)

    def judge(self, *, now_s: float, link_up: bool, probes: Sequence[ProbeResults] = ()) -> Verdict:
        if self.decided:
            return Undecided()
        return judge(self.facts(now_s=now_s, link_up=link_up, probes=probes), limits=self.limits)

    def facts(self, *, now_s: float, link_up: bool, probes: Sequence[ProbeResults] = ()) -> TrialFacts:
        return TrialFacts(
            trial=self.trial,
            elapsed_s=now_s - self.began_s,
            candidate=self.candidate or Observed(manifest_sha256=self.manifest_sha256),
            previous=self.previous,
            baseline_classes=self.baseline_classes,
            replay=self.replay,
            memory_max_bytes=self.memory_max_bytes,
            growth=self.trend.growth,
            probes=self.probe_facts(probes),
            link_up=link_up,
        )

    def probe_facts(self, probes: Sequence[ProbeResults]) -> tuple[ProbeFacts, ...]:
        """What failed under the previous version too is no fault of this one, until it passes once."""
        if self._failed_before is None:
            self._failed_before = frozenset(
                results.probe.name for results in probes if results.failing_before(self.began_s)
            )
        return tuple(
            results.since(self.began_s, failed_before=results.probe.name in self._failed_before)
            for results in probes
        )


def observed(manifest_sha256: str, snapshot: Snapshot, raw: Mapping[str, JsonValue]) -> Observed:
    rss = raw.get("rss_bytes")
    return Observed(
        manifest_sha256=manifest_sha256,
        n=snapshot.n,
        errors=snapshot.counters["errors"],
        refused=snapshot.counters["refused"],
        nan_outputs=snapshot.counters["nan_outputs"],
        latency=snapshot.sketch.latency,
        classes=snapshot.sketch.classes,
        rss_bytes=rss if isinstance(rss, int) else 0,
    )


def baseline_classes(release: Path) -> tuple[int, ...]:
    """Class counts of the baseline in a release's folder; empty where it has none that can be read."""
    try:
        return Baseline.parse((release / "baseline.json").read_bytes()).class_counts
    except (OSError, LimosaError):
        return ()  # the distance of classes is then not judged
