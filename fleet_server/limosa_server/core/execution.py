"""One device in one rollout: what its reports do to its execution (rollouts 2, 3.1, 3.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import EXECUTION_OF_PHASE, Execution, Phase
from limosa_contracts.reported import ReportedModel
from limosa_server.core.changing import changed


class ExecutionEvent(Enum):
    OFFER = "offer"
    FIND_RUNNING = "found running"
    PROGRESS = "progress"
    SUCCEED = "committed and running"
    FALL_BACK = "fell back"
    REJECT = "rejected"
    FAIL = "failed"
    TIME_OUT = "timed out"
    CANCEL = "cancel"
    REMOVE = "remove"
    SUPERSEDE = "supersede"


_S: Final = Execution
_E: Final = ExecutionEvent


def _settled(state: Execution, **late: Execution) -> Mapping[ExecutionEvent, Execution]:
    """A terminal state stays, but for the late facts that are named: the table has every event."""
    return {event: late.get(event.name, state) for event in ExecutionEvent}


_VERDICTS: Final[Mapping[ExecutionEvent, Execution]] = {
    _E.SUCCEED: _S.SUCCEEDED,
    _E.FALL_BACK: _S.ROLLED_BACK,
    _E.REJECT: _S.REJECTED,
    _E.FAIL: _S.FAILED,
    _E.CANCEL: _S.CANCELED,
    _E.REMOVE: _S.REMOVED,
    _E.SUPERSEDE: _S.SUPERSEDED,
}
TRANSITIONS: Final[Mapping[Execution, Mapping[ExecutionEvent, Execution]]] = {
    _S.QUEUED: {
        **_VERDICTS,
        _E.OFFER: _S.NOTIFIED,
        _E.FIND_RUNNING: _S.ALREADY_INSTALLED,
        _E.PROGRESS: _S.IN_PROGRESS,
    },
    _S.NOTIFIED: {
        **_VERDICTS,
        _E.FIND_RUNNING: _S.ALREADY_INSTALLED,
        _E.PROGRESS: _S.IN_PROGRESS,
        _E.TIME_OUT: _S.TIMED_OUT,
    },
    _S.IN_PROGRESS: {**_VERDICTS, _E.PROGRESS: _S.IN_PROGRESS, _E.TIME_OUT: _S.TIMED_OUT},
    # The server only believed that time was up; the device knows (rollouts 3.1).
    _S.TIMED_OUT: _settled(
        _S.TIMED_OUT,
        SUCCEED=_S.SUCCEEDED,
        FALL_BACK=_S.ROLLED_BACK,
        REJECT=_S.REJECTED,
        FAIL=_S.FAILED,
    ),
    # A late failure falls back once (agent 4.3); the gate must see it.
    _S.SUCCEEDED: _settled(_S.SUCCEEDED, FALL_BACK=_S.ROLLED_BACK),
    _S.ALREADY_INSTALLED: _settled(_S.ALREADY_INSTALLED, FALL_BACK=_S.ROLLED_BACK),
    **{
        state: _settled(state)
        for state in (_S.FAILED, _S.ROLLED_BACK, _S.REJECTED, _S.REMOVED, _S.CANCELED, _S.SUPERSEDED)
    },
}
RANK: Final[Mapping[Execution, int]] = {
    _S.QUEUED: 0,
    _S.NOTIFIED: 1,
    _S.IN_PROGRESS: 2,
    _S.TIMED_OUT: 3,
    _S.SUCCEEDED: 4,
    _S.ALREADY_INSTALLED: 4,
    _S.FAILED: 5,
    _S.ROLLED_BACK: 5,
    _S.REJECTED: 5,
    _S.REMOVED: 5,
    _S.CANCELED: 5,
    _S.SUPERSEDED: 5,
}
"""No event lowers the rank, so terminal states are monotonic per attempt and nothing flaps."""


SILENT_STEPS: Final = frozenset({"activating", "probation"})
"""A device that vanishes here has switched, or is about to (rollouts 3.4)."""
WAITING: Final = "waiting_for_window"
VERIFYING_STEPS: Final = frozenset({"staged", "self_testing", "activating", "probation", "falling_back"})
"""From the downloaded bytes to the device's verdict; a maintenance window is waited for in between."""


class Return(Enum):
    """The way back of a device whose rollout is undone: an overlay, the outcome stays as it was."""

    NONE = ""
    SENT = "sent"
    """It was told; it has not said that it runs the old version."""
    RETURNED = "returned"
    NOT_NEEDED = "not needed"
    STUCK = "stuck"
    """It may not, or did not in time; `reason` says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceExecution:
    """`clock_from`: since when the running clock of the two counts. `away`: *unreachable*, an overlay.
    `document`: (epoch, counter) of the desired document that carried the last order, (0, 0) for none.
    `not_before`, `failed_as`, `failed_under`: of an attempt that follows a failed one (core.retrying)."""

    device: str
    wave: int
    state: Execution = Execution.QUEUED
    step: str = "queued"
    reason: str = ""
    reason_code: str = ""
    since: float = 0.0
    attempt: int = 1
    offered_at: float | None = None
    clock_from: float = 0.0
    away: bool = False
    silent: bool = False  # away after the switch for longer than its own habits explain
    from_version: str = ""  # what it ran when it was offered the release
    from_index: str = ""
    committed: bool = False
    returning: Return = Return.NONE
    return_version: str = ""
    return_index: str = ""
    document: tuple[int, int] = (0, 0)
    size_bytes: int = 0  # of the variant that it fetches
    verify_from: float = 0.0
    not_before: float | None = None
    failed_as: str = ""
    failed_under: Mapping[str, JsonValue] = field(default_factory=dict)

    def after(
        self, event: ExecutionEvent, *, now: float, step: str, reason: str = "", code: str = ""
    ) -> DeviceExecution:
        state = TRANSITIONS[self.state][event]
        if state is self.state and (state.terminal or step == self.step):
            return self
        first_progress = state is Execution.IN_PROGRESS and self.state is not Execution.IN_PROGRESS
        clock_from = now if first_progress or state is Execution.NOTIFIED else self.clock_from
        if self.step == WAITING:  # no clock runs while a device may not switch
            clock_from = min(now, clock_from + now - self.since)
        begins_to_verify = step in VERIFYING_STEPS and self.step not in VERIFYING_STEPS
        return changed(
            self,
            state=state,
            step=step,
            reason=reason,
            reason_code=code,
            since=now,
            clock_from=clock_from,
            verify_from=now if begins_to_verify else self.verify_from,
        )


_EVENT_OF_PHASE: Final[Mapping[Phase, ExecutionEvent]] = {
    Phase.COMMITTED: ExecutionEvent.PROGRESS,  # SUCCEED only with the version reported running (3.1)
    Phase.REJECTED: ExecutionEvent.REJECT,
    Phase.FELL_BACK: ExecutionEvent.FALL_BACK,
    Phase.REMOVED: ExecutionEvent.REMOVE,
}
_SETTLED_PHASES: Final = frozenset(
    {Phase.IDLE, Phase.COMMITTED, Phase.REJECTED, Phase.FELL_BACK, Phase.REMOVED}
)


def on_phase(
    run: DeviceExecution, phase: Phase, *, running: bool, reason: str, code: str, now: float
) -> DeviceExecution:
    """The device said that this attempt reached `phase`; `running`: it reports the release as active."""
    if phase is Phase.IDLE:
        return run
    step = EXECUTION_OF_PHASE[phase][1]
    if phase is Phase.COMMITTED:
        run = changed(run, committed=True)
        if running:
            return run.after(ExecutionEvent.SUCCEED, now=now, step=step, reason=reason, code=code)
    event = _EVENT_OF_PHASE.get(phase, ExecutionEvent.PROGRESS)
    after = run.after(event, now=now, step=step, reason=reason, code=code)
    if after is run and run.state.failed and run.step == step and code and not run.reason_code:
        # What it reported of itself came first, which has no code.
        return changed(run, reason=reason or run.reason, reason_code=code)
    return after


def on_reported(
    run: DeviceExecution, said: ReportedModel, *, rollout: int, index_sha256: str, now: float
) -> DeviceExecution:
    """What the device says it runs overrides what the server believes (rollouts 3.1).

    A lost "succeeded" is inferred (3.8). A device that was never offered the release changes nothing.
    """
    if run.offered_at is None:
        return run
    running = said.active is not None and said.active.index_sha256 == index_sha256
    at_rest = said.candidate is None and said.phase in (Phase.COMMITTED, Phase.IDLE)
    if said.rollout == str(rollout) and said.attempt == run.attempt:
        run = on_phase(run, said.phase, running=running, reason=said.reason, code="", now=now)
    if running and at_rest:
        run = run.after(ExecutionEvent.SUCCEED, now=now, step="committed", reason="reports it running")
    return run


def on_way_back(
    run: DeviceExecution, said: ReportedModel | None, *, seen: tuple[int, int], index_sha256: str
) -> DeviceExecution:
    """RETURNED once the device has seen the order and runs the old version, at rest.

    The reason stays: it says why the release failed here.
    """
    if run.returning not in (Return.SENT, Return.STUCK) or seen < run.document or run.document == (0, 0):
        return run
    active = said.active.index_sha256 if said is not None and said.active is not None else ""
    at_rest = said is None or (said.candidate is None and said.phase in _SETTLED_PHASES)
    back = active == run.return_index if run.return_index else active != index_sha256
    if at_rest and not back and said is not None and said.phase is Phase.REJECTED:
        # It committed before the order reached it, and its release does not let it go back (trust 2.4).
        return changed(run, returning=Return.STUCK, reason=run.reason or "it may not go back: " + said.reason)
    if not (at_rest and back):
        return run
    return changed(run, returning=Return.RETURNED)
