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
from limosa_agent.update.actions import Action, Report
from limosa_agent.update.events import (
    Changed,
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
from limosa_agent.update.guards import (
    already_active,
    can_go_back,
    downgrade,
    has_changed,
    held,
    is_shadow,
    names_candidate,
    none_is_here,
    nothing_fetched,
    quarantined,
    same_target,
    tries_left,
    verifying,
    wants_none,
    window_unreadable,
)
from limosa_agent.update.rules import (
    Applied,
    acknowledge_absent,
    acknowledge_active,
    adopt,
    arm,
    back,
    back_again,
    begin,
    begin_again,
    begin_later,
    commit,
    commit_shadow,
    drop_and_fall_back,
    fall_back,
    fall_back_late,
    fetch_again,
    fetch_later,
    fetch_now,
    give_up,
    note_failure,
    pause_fetch,
    refuse_downgrade,
    refuse_quarantined,
    refuse_window,
    reject,
    relink,
    remove,
    remove_again,
    removed,
    spend_try,
    stage,
    stay,
    take_reason,
    test_it,
    tidy,
    wait,
    wait_again,
    watch,
)
from limosa_agent.update.state import ModelState
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
        Row(when=same_target, to=here, do=adopt),
        Row(when=none_is_here, to=Phase.REMOVED, do=acknowledge_absent),
        Row(when=wants_none, to=Phase.REMOVING, do=remove),
        Row(when=window_unreadable, to=Phase.REJECTED, do=refuse_window),
        Row(when=already_active, to=Phase.COMMITTED, do=acknowledge_active),
        Row(when=quarantined, to=Phase.REJECTED, do=refuse_quarantined),
        Row(when=held, to=Phase.WAITING_FOR_WINDOW, do=begin_later),
        Row(to=Phase.RESOLVING, do=begin),
    )


def _late(here: Phase) -> Sequence[Row]:
    return (
        Row(when=can_go_back, to=Phase.FALLING_BACK, do=fall_back_late),
        Row(to=here, do=note_failure),
    )


def _on_its_way(here: Phase) -> Rows:
    """A release is being fetched, or waits on this disk."""
    return {
        Wanted: _wanted(here),
        LateFailure: (
            Row(when=can_go_back, to=Phase.FALLING_BACK, do=drop_and_fall_back),
            Row(to=here),
        ),
        Exhausted: (Row(to=Phase.REJECTED, do=give_up),),
    }


def _fetching(here: Phase) -> Rows:
    return {
        **_on_its_way(here),
        Fetched: (
            Row(when=quarantined, to=Phase.REJECTED, do=refuse_quarantined),
            Row(when=downgrade, to=Phase.REJECTED, do=refuse_downgrade),
            Row(when=already_active, to=Phase.COMMITTED, do=acknowledge_active),
            Row(to=Phase.STAGED, do=stage),
        ),
        Refused: (Row(to=Phase.REJECTED, do=take_reason),),
        WindowClosed: (Row(to=Phase.WAITING_FOR_WINDOW, do=pause_fetch),),
        Restarted: (Row(to=Phase.RESOLVING, do=fetch_again),),
    }


def _at_rest(here: Phase) -> Rows:
    return {
        Wanted: _wanted(here),
        LateFailure: _late(here),
        Restarted: (Row(to=here, do=tidy),),
    }


FALL_BACK: Final = (Row(to=Phase.FALLING_BACK, do=fall_back),)
TRY_AGAIN: Final = (
    Row(when=tries_left, to=Phase.ACTIVATING, do=relink),
    Row(to=Phase.FALLING_BACK, do=fall_back),
)

TRANSITIONS: Final[Mapping[Phase, Rows]] = {
    Phase.IDLE: _at_rest(Phase.IDLE),
    Phase.RESOLVING: {
        **_fetching(Phase.RESOLVING),
        Progressed: (Row(to=Phase.DOWNLOADING),),
        LinkLost: (Row(to=Phase.RESOLVING, do=fetch_later),),
    },
    Phase.DOWNLOADING: {
        **_fetching(Phase.DOWNLOADING),
        Progressed: (
            Row(when=verifying, to=Phase.VERIFYING),
            Row(to=Phase.DOWNLOADING),
        ),
        LinkLost: (Row(to=Phase.DOWNLOADING, do=fetch_later),),
    },
    Phase.VERIFYING: {
        **_fetching(Phase.VERIFYING),
        Progressed: (Row(to=Phase.VERIFYING),),
        LinkLost: (Row(to=Phase.DOWNLOADING, do=fetch_later),),
        WindowClosed: (Row(to=Phase.VERIFYING),),  # nothing is downloaded any more
    },
    Phase.STAGED: {
        **_on_its_way(Phase.STAGED),
        WindowOpened: (Row(to=Phase.SELF_TESTING, do=test_it),),
        WindowClosed: (Row(to=Phase.WAITING_FOR_WINDOW, do=wait),),
        Restarted: (Row(to=Phase.STAGED),),
    },
    Phase.WAITING_FOR_WINDOW: {
        **_on_its_way(Phase.WAITING_FOR_WINDOW),
        WindowOpened: (
            Row(when=nothing_fetched, to=Phase.RESOLVING, do=fetch_now),
            Row(to=Phase.SELF_TESTING, do=test_it),
        ),
        WindowClosed: (Row(to=Phase.WAITING_FOR_WINDOW, do=wait),),
        Restarted: (Row(to=Phase.WAITING_FOR_WINDOW),),
    },
    Phase.SELF_TESTING: {
        SelfTestPassed: (
            Row(when=held, to=Phase.WAITING_FOR_WINDOW, do=wait_again),
            Row(to=Phase.ACTIVATING, do=arm),
        ),
        SelfTestFailed: (Row(to=Phase.REJECTED, do=reject),),
        LateFailure: (
            Row(when=can_go_back, to=Phase.FALLING_BACK, do=drop_and_fall_back),
            Row(to=Phase.SELF_TESTING),
        ),
        Restarted: (Row(to=Phase.STAGED),),
        Exhausted: (Row(to=Phase.REJECTED, do=reject),),
    },
    Phase.ACTIVATING: {
        Linked: (Row(to=Phase.ACTIVATING, do=spend_try),),
        Loaded: (
            Row(when=is_shadow, to=Phase.COMMITTED, do=commit_shadow),
            Row(when=names_candidate, to=Phase.PROBATION, do=watch),
        ),
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
    Phase.COMMITTED: _at_rest(Phase.COMMITTED),
    Phase.FELL_BACK: _at_rest(Phase.FELL_BACK),
    Phase.REJECTED: {
        **_at_rest(Phase.REJECTED),
        Changed: (
            Row(when=has_changed, to=Phase.RESOLVING, do=begin_again),
            Row(to=Phase.REJECTED),
        ),
    },
    Phase.REMOVING: {
        Linked: (Row(to=Phase.REMOVED, do=removed),),
        Restarted: (Row(to=Phase.REMOVING, do=remove_again),),
    },
    Phase.REMOVED: _at_rest(Phase.REMOVED),
}
ENDING: Final = (Phase.FALLING_BACK, Phase.REMOVING)
NO_CIRCLE: Final = (begin, begin_later, begin_again, pause_fetch, wait, wait_again)
"""What begins an attempt anew, or rests it until the clock or an operator lets it go on."""


def next_state(state: ModelState, event: Event) -> tuple[ModelState, tuple[Action, ...]]:
    """The state after `event`, and what to do. Raises UnknownTransition for what the table lacks."""
    row = _row(state, event)
    if _would_loop(state, row):
        return next_state(state, Exhausted())
    changed, actions = row.do(state, event)
    if row.to is not state.phase:
        changed = replace(changed, phase=row.to, transitions=changed.transitions + 1)
    elif not (row.to.terminal and _identity(changed) != _identity(state)):
        return changed, tuple(actions)
    return changed, (_report(state, changed), *actions)


def row_of(state: ModelState, event: Event) -> Row:
    """The row that the table has for it. Raises UnknownTransition."""
    return _row(state, event)


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
    ends = row.to.terminal or row.to in ENDING or row.do in NO_CIRCLE
    return row.to is not state.phase and not ends and state.transitions >= MAX_TRANSITIONS


def _identity(state: ModelState) -> tuple[object, ...]:
    return state.target.identity if state.target else ()


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
        lane=after.lane,
    )
