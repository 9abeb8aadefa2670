"""What is known of a version's health, and what can be said of it (agent 4.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limosa_contracts.desired import Trial
from limosa_contracts.event import Reason


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
class Growth:
    """Memory that rose in every one of the last `steps` steps of `step_s` seconds."""

    steps: int
    step_s: float
    from_bytes: int
    to_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFacts:
    """One probe's answers since a moment. `excused`: it failed before that moment, and never passed since."""

    name: str
    asked: int = 0
    bad: int = 0  # of the last `of`
    fail: int = 1
    of: int = 1
    passed: bool = False  # at least once
    excused: bool = False
    said: str = ""  # its last bad answer

    @property
    def failing(self) -> bool:
        return self.bad >= self.fail and not self.excused

    @property
    def waiting(self) -> bool:
        """It has not said yet that all is well."""
        return not self.passed and not self.excused


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
    growth: Growth | None = None
    probes: Sequence[ProbeFacts] = ()
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
