"""One probation: gathers facts of the candidate and asks for the verdict (agent 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limosa_agent.health.judge import Observed, Replay, TrialFacts, Undecided, Verdict, judge
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
    previous: Observed | None = None
    baseline_classes: tuple[int, ...] = ()
    memory_max_bytes: int = 0
    candidate: Observed | None = None
    replay: Replay | None = None
    replaying: bool = False
    decided: bool = False

    def judge(self, *, now_s: float, link_up: bool) -> Verdict:
        if self.decided:
            return Undecided()
        return judge(
            TrialFacts(
                trial=self.trial,
                elapsed_s=now_s - self.began_s,
                candidate=self.candidate or Observed(manifest_sha256=self.manifest_sha256),
                previous=self.previous,
                baseline_classes=self.baseline_classes,
                replay=self.replay,
                memory_max_bytes=self.memory_max_bytes,
                link_up=link_up,
            )
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
