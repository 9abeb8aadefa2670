"""What the update machine asks for: the actions, and the report that is written with the state (agent 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from limosa_agent.update.state import ACTIVE, SHADOW_MARK
from limosa_contracts.event import Reason
from limosa_contracts.phases import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An update event for the server; written with the state it speaks of."""

    model: str
    version: str
    index_sha256: str
    manifest_sha256: str
    rollout: str
    attempt: int
    phase: Phase
    reason: Reason
    lane: str = ACTIVE

    @property
    def key(self) -> str:
        """One per (rollout, attempt, lane, phase); the release stands in where there is no rollout."""
        lane = self.model if self.lane == ACTIVE else self.model + SHADOW_MARK
        return f"{self.rollout or self.index_sha256[:16]}:{self.attempt}:{lane}:{self.phase.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFetch:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFetch:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryFetch:
    """Start the fetch again after a jittered pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelfTest:
    """Golden vectors of the candidate in a limited child (agent 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchLink:
    """Point `current` to `state.linked` (agent 3, line 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Start a generation with the candidate, the old one warm beside it (agent 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginProbation:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBack:
    """Let the old generation answer again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopServing:
    """Let nothing answer for this model any more, and nothing run beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStandby:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectGarbage:
    pass


Action: TypeAlias = (
    Report
    | StartFetch
    | StopFetch
    | RetryFetch
    | RunSelfTest
    | SwitchLink
    | Load
    | BeginProbation
    | FallBack
    | StopServing
    | ReleaseStandby
    | CollectGarbage
)
