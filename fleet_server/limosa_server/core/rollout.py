"""A rollout: its states and what each allows, and the one table of its transitions (rollouts 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from limosa_contracts.errors import Conflict
from limosa_contracts.rollout.modes import Mode
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.spec import RolloutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Allows:
    """What an operator may do, and whether the controller has work."""

    pause: bool = False
    resume: bool = False
    cancel: bool = False
    decide: bool = False  # approve or deny
    submit: bool = False
    terminal: bool = False


class RolloutStatus(Enum):
    DRAFT = "DRAFT"
    """Written down, not yet submitted."""
    VALIDATING = "VALIDATING"
    """Its devices are being checked."""
    INVALID = "INVALID"
    """It could not start; the reason says why."""
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    """People must agree first."""
    APPROVAL_DENIED = "APPROVAL_DENIED"
    """Somebody said no."""
    SCHEDULED = "SCHEDULED"
    """It starts at its time."""
    RUNNING = "RUNNING"
    """Waves advance when their gate passes."""
    PAUSED = "PAUSED"
    """No device is offered the new version until an operator decides."""
    CANCELING = "CANCELING"
    """Devices that have not finished are told to stay with what they run."""
    CANCELED = "CANCELED"
    """Ended by an operator or a rule; devices that had committed keep the new version."""
    ROLLING_BACK = "ROLLING_BACK"
    """Devices are told to go back."""
    ROLLED_BACK = "ROLLED_BACK"
    """Every device reports the version it had before."""
    ROLLBACK_INCOMPLETE = "ROLLBACK_INCOMPLETE"
    """Some devices could not go back, or did not say so in time."""
    COMPLETED = "COMPLETED"
    """The gates have passed; stragglers may still follow."""
    FAILED = "FAILED"
    """It ended below its success criteria, and nothing is rolled back."""
    SUPERSEDED = "SUPERSEDED"
    """A newer rollout of the same model has taken all of its devices."""

    @property
    def allows(self) -> Allows:
        return _ALLOWS[self]

    @property
    def terminal(self) -> bool:
        return _ALLOWS[self].terminal


_END: Final = Allows(terminal=True)
_ALLOWS: Final[Mapping[RolloutStatus, Allows]] = {
    RolloutStatus.DRAFT: Allows(submit=True, cancel=True),
    RolloutStatus.VALIDATING: Allows(cancel=True),
    RolloutStatus.INVALID: _END,
    RolloutStatus.WAITING_FOR_APPROVAL: Allows(decide=True, cancel=True),
    RolloutStatus.APPROVAL_DENIED: _END,
    RolloutStatus.SCHEDULED: Allows(cancel=True),
    RolloutStatus.RUNNING: Allows(pause=True, cancel=True),
    RolloutStatus.PAUSED: Allows(resume=True, cancel=True),
    RolloutStatus.CANCELING: Allows(),
    RolloutStatus.CANCELED: _END,
    RolloutStatus.ROLLING_BACK: Allows(),
    RolloutStatus.ROLLED_BACK: _END,
    RolloutStatus.ROLLBACK_INCOMPLETE: _END,
    RolloutStatus.COMPLETED: _END,
    RolloutStatus.FAILED: _END,
    RolloutStatus.SUPERSEDED: _END,
}


class Pause(Enum):
    NONE = ""
    MANUAL = "manual"
    GATE_FAILED = "gate_failed"
    INCONCLUSIVE = "inconclusive"
    OUTSIDE_WINDOW = "outside_window"
    """No maintenance window is open, and devices may not download outside of one. It ends by itself."""
    BUDGET = "budget"
    """The bytes per second are spent for a while. It ends by itself."""

    @property
    def ends_by_itself(self) -> bool:
        return self in (Pause.OUTSIDE_WINDOW, Pause.BUDGET)


class RolloutEvent(Enum):
    SUBMIT = "submit"
    REFUSE = "refuse"
    ASK_APPROVAL = "ask approval"
    DENY = "deny"
    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    HOLD = "hold"
    RESUME = "resume"
    CANCEL = "cancel"
    STOPPED = "stopped"
    ROLL_BACK = "roll back"
    RETURNED = "all returned"
    STUCK = "some stuck"
    COMPLETE = "complete"
    FAIL = "fail"
    SUPERSEDE = "supersede"


_S: Final = RolloutStatus
_E: Final = RolloutEvent
TRANSITIONS: Final[Mapping[RolloutStatus, Mapping[RolloutEvent, RolloutStatus]]] = {
    _S.DRAFT: {_E.SUBMIT: _S.VALIDATING, _E.CANCEL: _S.CANCELING},
    _S.VALIDATING: {
        _E.REFUSE: _S.INVALID,
        _E.ASK_APPROVAL: _S.WAITING_FOR_APPROVAL,
        _E.SCHEDULE: _S.SCHEDULED,
        _E.START: _S.RUNNING,
        _E.CANCEL: _S.CANCELING,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.INVALID: {},
    _S.WAITING_FOR_APPROVAL: {
        _E.DENY: _S.APPROVAL_DENIED,
        _E.SCHEDULE: _S.SCHEDULED,
        _E.START: _S.RUNNING,
        _E.REFUSE: _S.INVALID,
        _E.CANCEL: _S.CANCELING,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.APPROVAL_DENIED: {},
    _S.SCHEDULED: {
        _E.START: _S.RUNNING,
        _E.REFUSE: _S.INVALID,
        _E.CANCEL: _S.CANCELING,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.RUNNING: {
        _E.PAUSE: _S.PAUSED,
        _E.CANCEL: _S.CANCELING,
        _E.ROLL_BACK: _S.ROLLING_BACK,
        _E.COMPLETE: _S.COMPLETED,
        _E.FAIL: _S.FAILED,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.PAUSED: {
        _E.HOLD: _S.PAUSED,  # a pause of its own making becomes a person's, or a failed gate's
        _E.RESUME: _S.RUNNING,
        _E.CANCEL: _S.CANCELING,
        _E.ROLL_BACK: _S.ROLLING_BACK,
        _E.SUPERSEDE: _S.SUPERSEDED,
    },
    _S.CANCELING: {_E.STOPPED: _S.CANCELED},
    _S.CANCELED: {},
    _S.ROLLING_BACK: {_E.RETURNED: _S.ROLLED_BACK, _E.STUCK: _S.ROLLBACK_INCOMPLETE},
    _S.ROLLED_BACK: {},
    _S.ROLLBACK_INCOMPLETE: {},
    _S.COMPLETED: {},
    _S.FAILED: {},
    _S.SUPERSEDED: {},
}


SHADOW: Final = "shadow"
"""The lane of challengers, which run beside what answers."""


def lane_of(spec: RolloutSpec) -> str:
    """`active`: what answers; SHADOW: what runs beside it."""
    return SHADOW if spec.mode is Mode.SHADOW else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """`accepted_failures`: an operator resumed in spite of this many; a rule fires again above it.
    `accepted`: the same by what abort rules count, so that failures of one kind do not excuse others.
    Times are Unix seconds. `resume_at`: when a pause that ends by itself does. `bytes_free_at`: when
    `rate.max_bytes_per_second` allows the next offer. `stopping`: in CANCELING, those at it may finish.
    `follows`: devices that join its group come in through the tail; `settled`: its gates have passed."""

    id: int
    spec: RolloutSpec
    index_sha256: str
    status: RolloutStatus
    since: float
    reason: str
    pause: Pause = Pause.NONE
    accepted_failures: int = 0
    accepted: Mapping[str, int] = field(default_factory=dict)  # value of Failure -> devices
    stragglers: int = 0
    rollback_scope: Scope = Scope.NONE
    failed_wave: int | None = None
    created_by: str = ""
    started_at: float | None = None
    follows: bool = False
    settled: bool = False
    stopping: bool = False
    resume_at: float | None = None
    bytes_free_at: float = 0.0

    @property
    def rank(self) -> tuple[int, int]:
        """Of two rollouts of a model the higher one has the devices that are in both (rollouts 2)."""
        return (self.spec.priority, self.id)

    @property
    def lane(self) -> str:
        """Rollouts of a model that have no lane in common take nothing from each other (rollouts 6)."""
        return lane_of(self.spec)

    @property
    def pausing(self) -> RolloutEvent:
        """The event that pauses it, or that makes a pause of its own making last."""
        return RolloutEvent.HOLD if self.pause.ends_by_itself else RolloutEvent.PAUSE

    def after(self, event: RolloutEvent, *, reason: str, now: float, pause: Pause = Pause.NONE) -> Rollout:
        """Raises Conflict for an event that the table does not have in this state."""
        status = TRANSITIONS[self.status].get(event)
        held = event is RolloutEvent.HOLD and not self.pause.ends_by_itself
        if status is None or held:
            raise Conflict(
                f"a rollout that is {self.status.value} cannot {event.value}",
                where=f"rollout {self.id}",
                why=self.reason,
                hint=f"limosa rollout status {self.id}",
            )
        started = now if event is RolloutEvent.START else self.started_at
        return replace(
            self,
            status=status,
            since=now,
            reason=reason,
            pause=pause,
            started_at=started,
            resume_at=None,
        )
