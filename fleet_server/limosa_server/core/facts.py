"""What the controller reads for one tick of one rollout, and what it is told to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from limosa_server.core.approval import Vote
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.judging.judge import Decision
from limosa_server.core.judging.samples import Comparison
from limosa_server.core.modes.agreement import NOTHING, Moments
from limosa_server.core.retrying import NO_CONDITION, Condition
from limosa_server.core.rollout import Rollout
from limosa_server.core.wave import Wave


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What is known of a device now. `at_rest`: no attempt is under way for this model.
    `usual_gap_s`: it is as good as never silent for longer (core.habit); None while that is not known."""

    online: bool = False
    last_seen: float = 0.0
    running_version: str = ""
    running_index: str = ""
    at_rest: bool = True
    usual_gap_s: float | None = None
    condition: Condition = NO_CONDITION

    def silent_for(self, now: float) -> float:
        """Seconds without a sign of it; 0 while the broker holds its connection."""
        return 0.0 if self.online else max(0.0, now - self.last_seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`runs`: the executions that changed or are due (core.due), those that may be offered the release now,
    and those that are to be withdrawn or sent back; `more`: of the latter there are others, for the next
    tick. What is not read is known from the counters of `waves` (core.tally).

    Before the start: `obstacle`, why it may not start any more ("" if it may); `approvals`, what people
    said; `held`, devices that a rollout of higher rank has, with its number. `opens_at`: when the next
    maintenance window opens, where none is open now and nothing may be downloaded meanwhile. `comparison`:
    the numbers of the look that is due.
    """

    now: float
    rollout: Rollout
    waves: tuple[Wave, ...]
    runs: tuple[DeviceExecution, ...]
    devices: Mapping[str, DeviceFacts]
    offered_last_minute: int = 0
    may_return_to: tuple[str, ...] = ()
    index_of_version: Mapping[str, str] = field(default_factory=dict)  # for on_failure.to
    obstacle: str = ""
    approvals: tuple[Vote, ...] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    opens_at: float | None = None
    agreement: Moments = NOTHING  # of a shadow's wave that has baked, and of no other
    comparison: Comparison | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """This device shall run the rollout's release."""

    device: str


@dataclass(frozen=True, slots=True)
class GoBack:
    """This device shall run this version again; "" for: nothing is asked of it any more."""

    device: str
    version: str
    index_sha256: str


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Rollouts of lower rank lose the devices that this one has too (rollouts 2)."""


@dataclass(frozen=True, slots=True)
class Promote:
    """The release has proven itself: its stage becomes production."""


Order: TypeAlias = Offer | GoBack | Promote | TakeOver


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`runs` holds only those that changed. `incomplete`: it concerns executions that were not read; none of
    it is to be carried out, but asked for again with all that are open."""

    rollout: Rollout
    waves: tuple[Wave, ...]
    runs: tuple[DeviceExecution, ...]
    orders: tuple[Order, ...]
    decisions: tuple[Decision, ...]
    incomplete: bool = False
