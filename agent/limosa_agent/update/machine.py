"""The update machine of one model: one table, no I/O (agent 2).

Events and facts come in, the new state and actions go out. `Report`s are written in the transaction
that writes the state; every other action is done after that transaction (agent 2: durable first).
The drawing in the docs is `as_mermaid()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from limosa_agent.errors import UnknownTransition
from limosa_agent.update.events import (
    Event,
    Exhausted,
    Fetched,
    Healthy,
    LateFailure,
    Linked,
    LinkLost,
    Loaded,
    LoadFailed,
    Progressed,
    Refused,
    Restarted,
    SelfTestFailed,
    SelfTestPassed,
    Unhealthy,
    Wanted,
    WindowClosed,
    WindowOpened,
)
from limosa_agent.update.rules import (
    Applied,
    acknowledge_active,
    already_active,
    arm,
    back,
    back_again,
    begin,
    commit,
    downgrade,
    fall_back,
    fall_back_late,
    fetch_again,
    fetch_later,
    give_up,
    has_previous,
    mode_unsupported,
    names_candidate,
    note_failure,
    quarantined,
    refuse_downgrade,
    refuse_mode,
    refuse_quarantined,
    reject,
    relink,
    same_target,
    spend_try,
    stage,
    stay,
    take_reason,
    test_it,
    tries_left,
    verifying,
    watch,
)
from limosa_agent.update.state import Action, ModelState, Report
from limosa_contracts.phases import Phase

MAX_TRANSITIONS: Final = 28  # of one attempt; a change to the same phase does not count (agent 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`to` if `when` holds; the first row that fits is taken."""

    to: Phase
    do: Callable[[ModelState, Event], Applied] = stay
    when: Callable[[ModelState, Event], bool] | None = None


Rows: TypeAlias = Mapping[type[Event], Sequence[Row]]


def _wanted(here: Phase) -> Sequence[Row]:
    return (
        Row(when=same_target, to=here),
        Row(when=mode_unsupported, to=Phase.REJECTED, do=refuse_mode),
        Row(when=already_active, to=Phase.COMMITTED, do=acknowledge_active),
        Row(when=quarantined, to=Phase.REJECTED, do=refuse_quarantined),
        Row(to=Phase.RESOLVING, do=begin),
    )


def _late(here: Phase) -> Sequence[Row]:
    return (
        Row(when=has_previous, to=Phase.FALLING_BACK, do=fall_back_late),
        Row(to=here, do=note_failure),
    )


FETCHED: Final = (
    Row(when=quarantined, to=Phase.REJECTED, do=refuse_quarantined),
    Row(when=downgrade, to=Phase.REJECTED, do=refuse_downgrade),
    Row(when=already_active, to=Phase.COMMITTED, do=acknowledge_active),
    Row(to=Phase.STAGED, do=stage),
)
REFUSED: Final = (Row(to=Phase.REJECTED, do=take_reason),)
GIVEN_UP: Final = (Row(to=Phase.REJECTED, do=give_up),)
FALL_BACK: Final = (Row(to=Phase.FALLING_BACK, do=fall_back),)
REFETCH: Final = (Row(to=Phase.RESOLVING, do=fetch_again),)
TRY_AGAIN: Final = (
    Row(when=tries_left, to=Phase.ACTIVATING, do=relink),
    Row(to=Phase.FALLING_BACK, do=fall_back),
)

TRANSITIONS: Final[Mapping[Phase, Rows]] = {
    Phase.IDLE: {
        Wanted: _wanted(Phase.IDLE),
        Restarted: (Row(to=Phase.IDLE),),
    },
    Phase.RESOLVING: {
        Wanted: _wanted(Phase.RESOLVING),
        Progressed: (Row(to=Phase.DOWNLOADING),),
        Fetched: FETCHED,
        LinkLost: (Row(to=Phase.RESOLVING, do=fetch_later),),
        Refused: REFUSED,
        Restarted: REFETCH,
        Exhausted: GIVEN_UP,
    },
    Phase.DOWNLOADING: {
        Wanted: _wanted(Phase.DOWNLOADING),
        Progressed: (
            Row(when=verifying, to=Phase.VERIFYING),
            Row(to=Phase.DOWNLOADING),
        ),
        Fetched: FETCHED,
        LinkLost: (Row(to=Phase.DOWNLOADING, do=fetch_later),),
        Refused: REFUSED,
        Restarted: REFETCH,
        Exhausted: GIVEN_UP,
    },
    Phase.VERIFYING: {
        Wanted: _wanted(Phase.VERIFYING),
        Progressed: (Row(to=Phase.VERIFYING),),
        Fetched: FETCHED,
        LinkLost: (Row(to=Phase.DOWNLOADING, do=fetch_later),),
        Refused: REFUSED,
        Restarted: REFETCH,
        Exhausted: GIVEN_UP,
    },
    Phase.STAGED: {
        Wanted: _wanted(Phase.STAGED),
        WindowOpened: (Row(to=Phase.SELF_TESTING, do=test_it),),
        WindowClosed: (Row(to=Phase.WAITING_FOR_WINDOW),),
        Restarted: (Row(to=Phase.STAGED),),
        Exhausted: GIVEN_UP,
    },
    Phase.WAITING_FOR_WINDOW: {
        Wanted: _wanted(Phase.WAITING_FOR_WINDOW),
        WindowOpened: (Row(to=Phase.SELF_TESTING, do=test_it),),
        WindowClosed: (Row(to=Phase.WAITING_FOR_WINDOW),),
        Restarted: (Row(to=Phase.WAITING_FOR_WINDOW),),
        Exhausted: GIVEN_UP,
    },
    Phase.SELF_TESTING: {
        SelfTestPassed: (Row(to=Phase.ACTIVATING, do=arm),),
        SelfTestFailed: (Row(to=Phase.REJECTED, do=reject),),
        Restarted: (Row(to=Phase.STAGED),),
        Exhausted: (Row(to=Phase.REJECTED, do=reject),),
    },
    Phase.ACTIVATING: {
        Linked: (Row(to=Phase.ACTIVATING, do=spend_try),),
        Loaded: (Row(when=names_candidate, to=Phase.PROBATION, do=watch),),
        LoadFailed: FALL_BACK,
        Unhealthy: FALL_BACK,
        Restarted: TRY_AGAIN,
        Exhausted: FALL_BACK,
    },
    Phase.PROBATION: {
        Healthy: (Row(when=names_candidate, to=Phase.COMMITTED, do=commit),),
        Unhealthy: FALL_BACK,
        Restarted: TRY_AGAIN,
        Exhausted: FALL_BACK,
    },
    Phase.FALLING_BACK: {
        Linked: (Row(to=Phase.FELL_BACK, do=back),),
        Restarted: (Row(to=Phase.FALLING_BACK, do=back_again),),
    },
    Phase.COMMITTED: {
        Wanted: _wanted(Phase.COMMITTED),
        LateFailure: _late(Phase.COMMITTED),
        Restarted: (Row(to=Phase.COMMITTED),),
    },
    Phase.FELL_BACK: {
        Wanted: _wanted(Phase.FELL_BACK),
        LateFailure: _late(Phase.FELL_BACK),
        Restarted: (Row(to=Phase.FELL_BACK),),
    },
    Phase.REJECTED: {
        Wanted: _wanted(Phase.REJECTED),
        LateFailure: _late(Phase.REJECTED),
        Restarted: (Row(to=Phase.REJECTED),),
    },
}


def next_state(state: ModelState, event: Event) -> tuple[ModelState, tuple[Action, ...]]:
    """The state after `event`, and what to do. Raises UnknownTransition for what the table lacks."""
    row = _row(state, event)
    if _would_loop(state, row):
        return next_state(state, Exhausted())
    changed, actions = row.do(state, event)
    if row.to is not state.phase:
        changed = replace(changed, phase=row.to, transitions=changed.transitions + 1)
    elif not (row.to.terminal and changed.target != state.target):
        return changed, tuple(actions)
    return changed, (_report(state, changed), *actions)


def accepts(phase: Phase, kind: type[Event]) -> bool:
    """Whether the table has this kind of event for the phase."""
    return kind in TRANSITIONS[phase]


def as_mermaid() -> str:
    """The table as a mermaid state diagram; what changes no phase is left out."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for phase, rows_of in TRANSITIONS.items():
        for kind, rows in rows_of.items():
            for row in rows:
                if row.to is phase:
                    continue
                fact = f" [{row.when.__name__}]" if row.when else ""
                arrows.setdefault((phase.value, row.to.value), []).append(kind.__name__ + fact)
    lines = [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> IDLE", *lines]) + "\n"


def _row(state: ModelState, event: Event) -> Row:
    for row in TRANSITIONS[state.phase].get(type(event), ()):
        if row.when is None or row.when(state, event):
            return row
    raise UnknownTransition(
        f"{type(event).__name__} does not belong to phase {state.phase.value}", where=state.model
    )


def _would_loop(state: ModelState, row: Row) -> bool:
    """Ending an attempt is always possible; going round in it is not."""
    ends = row.to.terminal or row.to is Phase.FALLING_BACK
    new_attempt = row.do is begin
    return row.to is not state.phase and not ends and not new_attempt and state.transitions >= MAX_TRANSITIONS


def _report(before: ModelState, after: ModelState) -> Report:
    """Names the release that the change is about; a late failure may be of another than the target."""
    subject = after.candidate or before.candidate
    if subject is None and after.phase is Phase.COMMITTED:
        subject = after.active
    target = after.target
    assert target is not None or subject is not None
    ours = target is not None and (subject is None or subject.index_sha256 == target.index_sha256)
    version, index = (
        (target.version, target.index_sha256)
        if ours and target is not None
        else (subject.version, subject.index_sha256)
        if subject is not None
        else ("", "")
    )
    return Report(
        model=after.model,
        version=version,
        index_sha256=index,
        manifest_sha256=subject.manifest_sha256 if subject else "",
        rollout=target.rollout if ours and target is not None else "",
        attempt=target.attempt if ours and target is not None else 1,
        phase=after.phase,
        reason=after.reason,
    )
