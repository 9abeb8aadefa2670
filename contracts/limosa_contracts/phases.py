"""Phases of the agent's update machine, states of an execution, and the one table between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Phase(Enum):
    """Where one attempt at one model stands on the device (agent 2)."""

    IDLE = "IDLE"
    RESOLVING = "RESOLVING"
    DOWNLOADING = "DOWNLOADING"
    VERIFYING = "VERIFYING"
    STAGED = "STAGED"
    WAITING_FOR_WINDOW = "WAITING_FOR_WINDOW"
    SELF_TESTING = "SELF_TESTING"
    ACTIVATING = "ACTIVATING"
    PROBATION = "PROBATION"
    COMMITTED = "COMMITTED"
    REJECTED = "REJECTED"
    FALLING_BACK = "FALLING_BACK"
    FELL_BACK = "FELL_BACK"
    REMOVING = "REMOVING"
    REMOVED = "REMOVED"

    @property
    def terminal(self) -> bool:
        return self in (Phase.COMMITTED, Phase.REJECTED, Phase.FELL_BACK, Phase.REMOVED)


class Execution(Enum):
    """One device in one rollout (rollouts 2). Terminal states are monotonic per attempt."""

    QUEUED = "QUEUED"
    NOTIFIED = "NOTIFIED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    ALREADY_INSTALLED = "ALREADY_INSTALLED"
    FAILED = "FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    REMOVED = "REMOVED"
    CANCELED = "CANCELED"
    SUPERSEDED = "SUPERSEDED"

    __hash__ = object.__hash__  # counters are kept by it: Enum's own is a call of Python each time

    @property
    def terminal(self) -> bool:
        return self not in (Execution.QUEUED, Execution.NOTIFIED, Execution.IN_PROGRESS)

    @property
    def succeeded(self) -> bool:
        return self in (Execution.SUCCEEDED, Execution.ALREADY_INSTALLED)

    @property
    def failed(self) -> bool:
        """Counts against the release. Others are the operator's doing, or silence."""
        return self in (Execution.FAILED, Execution.ROLLED_BACK, Execution.TIMED_OUT, Execution.REJECTED)

    @property
    def executed(self) -> bool:
        """Counts in the denominator of rates (rollouts 3.2)."""
        return self.succeeded or self.failed


EXECUTION_OF_PHASE: Final[Mapping[Phase, tuple[Execution, str]]] = {
    Phase.IDLE: (Execution.NOTIFIED, "notified"),
    Phase.RESOLVING: (Execution.IN_PROGRESS, "downloading"),
    Phase.DOWNLOADING: (Execution.IN_PROGRESS, "downloading"),
    Phase.VERIFYING: (Execution.IN_PROGRESS, "downloading"),
    Phase.STAGED: (Execution.IN_PROGRESS, "staged"),
    Phase.WAITING_FOR_WINDOW: (Execution.IN_PROGRESS, "waiting_for_window"),
    Phase.SELF_TESTING: (Execution.IN_PROGRESS, "self_testing"),
    Phase.ACTIVATING: (Execution.IN_PROGRESS, "activating"),
    Phase.PROBATION: (Execution.IN_PROGRESS, "probation"),
    Phase.COMMITTED: (Execution.SUCCEEDED, "committed"),
    Phase.REJECTED: (Execution.REJECTED, "rejected"),
    Phase.FALLING_BACK: (Execution.IN_PROGRESS, "falling_back"),
    Phase.FELL_BACK: (Execution.ROLLED_BACK, "fell_back"),
    Phase.REMOVING: (Execution.IN_PROGRESS, "removing"),
    Phase.REMOVED: (Execution.REMOVED, "removed"),
}
"""A device's phase as the state (and step) of its execution. COMMITTED counts as SUCCEEDED only
when the device also reports that version running (rollouts 3.1)."""
