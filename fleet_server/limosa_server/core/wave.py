"""A wave: its states, the one table of its transitions, and its kept counters (rollouts 2, 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from limosa_contracts.errors import Conflict
from limosa_server.core.changing import changed
from limosa_server.core.counts import Counts


class WaveStatus(Enum):
    PENDING = "PENDING"
    """The gate before it has not passed."""
    IN_PROGRESS = "IN_PROGRESS"
    """Its devices are offered the release."""
    BAKING = "BAKING"
    """Its devices are through; what shows late has time to show."""
    ANALYZING = "ANALYZING"
    """The judge decides."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"
    """Too little data, which is never a pass."""


class WaveEvent(Enum):
    START = "start"
    THROUGH = "devices through"
    BELOW = "below its threshold"
    BAKED = "baked"
    GATE_PASSED = "gate passed"
    FAIL = "fail"
    NOBODY = "nobody left for it"
    TOO_LITTLE = "too little data"
    ACCEPT = "operator accepts"


_S: Final = WaveStatus
_E: Final = WaveEvent
TRANSITIONS: Final[Mapping[WaveStatus, Mapping[WaveEvent, WaveStatus]]] = {
    _S.PENDING: {_E.START: _S.IN_PROGRESS, _E.NOBODY: _S.SUCCEEDED},
    _S.IN_PROGRESS: {_E.THROUGH: _S.BAKING, _E.BELOW: _S.ANALYZING, _E.FAIL: _S.FAILED},
    _S.BAKING: {_E.BAKED: _S.ANALYZING, _E.BELOW: _S.ANALYZING, _E.FAIL: _S.FAILED},
    _S.ANALYZING: {_E.GATE_PASSED: _S.SUCCEEDED, _E.FAIL: _S.FAILED, _E.TOO_LITTLE: _S.INCONCLUSIVE},
    _S.SUCCEEDED: {_E.FAIL: _S.FAILED},
    _S.FAILED: {},
    _S.INCONCLUSIVE: {_E.ACCEPT: _S.SUCCEEDED, _E.FAIL: _S.FAILED},
}
"""SUCCEEDED + FAIL: devices fell back after the gate had passed, and the rollout stops for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    index: int
    name: str
    bake_s: float
    pause_after: bool
    size: int  # devices it was planned with
    tail: bool = False  # collects those who could not be reached (rollouts 3.5)
    status: WaveStatus = WaveStatus.PENDING
    since: float = 0.0
    reason: str = ""
    counts: Counts = field(default_factory=Counts)
    away: Counts = field(default_factory=Counts)  # of the open ones, those that cannot be reached
    silent: int = 0  # of those, the ones that had switched (rollouts 3.4)
    way_back: dict[str, int] = field(default_factory=dict)  # Return -> devices
    judge: str = "criteria"  # criteria | compare (rollouts 5.0)
    why_counts: str = ""  # why counts alone decide
    looks: int = 0  # that the comparison has taken
    extended: bool = False  # its bake was doubled

    @property
    def present(self) -> int:
        """Open executions of devices that can be reached."""
        return self.counts.open - self.away.total

    @property
    def compares(self) -> bool:
        return self.judge == "compare"

    @property
    def bakes_s(self) -> float:
        """How long it bakes in all."""
        return self.bake_s * (2 if self.extended else 1)

    def after(self, event: WaveEvent, *, reason: str, now: float) -> Wave:
        """Raises Conflict for an event that the table does not have in this state."""
        status = TRANSITIONS[self.status].get(event)
        if status is None:
            raise Conflict(f"wave {self.name} is {self.status.value}: not {event.value!r}")
        return changed(self, status=status, since=now, reason=reason)
