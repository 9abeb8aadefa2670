"""Every row of the update machine's table, with a state and an event that take it: found by walking."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from limosa_agent.errors import UnknownTransition
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
from limosa_agent.update.machine import TRANSITIONS, Row, next_state, row_of
from limosa_agent.update.state import ABSENT, SHADOW, Bad, Facts, ModelState
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject
from limosa_contracts.phases import Phase
from tests.agent.update.test_machine import BAD, release, target

RowName: TypeAlias = tuple[Phase, str, int]
"""Phase, event, and the number of the row among those of the event."""
MODEL: Final = "demo/motion"
THEN: Final = Facts(agent="1", capabilities_sha256="a", free_bytes=10)
NOW: Final = Facts(agent="2", capabilities_sha256="a", free_bytes=10)
HELD: Final = Reason(code="hold", message="an operator holds this model")
BAD_WINDOW: Final[JsonObject] = {"open": [{"cron": "at night", "duration_s": 60}]}


@dataclass(frozen=True)
class Crossing:
    """A state that can be reached, and an event that takes a row from it."""

    before: ModelState
    event: Event


def rows() -> Iterator[tuple[RowName, Row]]:
    for phase, kinds in TRANSITIONS.items():
        for kind, found in kinds.items():
            for number, row in enumerate(found):
                yield (phase, kind.__name__, number), row


def name_of(state: ModelState, event: Event) -> RowName:
    """The row that is taken. Raises UnknownTransition."""
    row = row_of(state, event)
    number = [one is row for one in TRANSITIONS[state.phase][type(event)]].index(True)
    return state.phase, type(event).__name__, number


def alphabet(state: ModelState) -> Sequence[Event]:
    """What may happen next, most of it wrong for most phases."""
    releases = [release(number) for number in (1, 2, 3)]
    mode = SHADOW if state.is_shadow else "active"
    wanted = [target(number, rollout=f"r{number}", mode=mode) for number in (1, 2, 3)]
    named = state.candidate.manifest_sha256 if state.candidate else ""
    told = state.target
    fetched = [one for one in releases if told and one.index_sha256 == told.index_sha256]
    # A newer index may hold the same variant as a release that is here already.
    same = [replace(one, index_sha256=told.index_sha256) for one in releases if told] if told else []
    return (
        *(Wanted(target=one) for one in wanted),
        *(Wanted(target=replace(one, attempt=2)) for one in wanted),
        Wanted(target=replace(wanted[2], attempt=3), held=HELD),
        Wanted(target=replace(wanted[1], mode=ABSENT)),
        Wanted(target=replace(wanted[1], mode=ABSENT, attempt=2)),
        Wanted(target=replace(wanted[2], window=BAD_WINDOW)),
        Progressed(),
        Progressed(verifying=True),
        *(Fetched(release=one) for one in (*fetched, *same)),
        LinkLost(reason=BAD),
        Refused(reason=BAD, under=THEN),
        WindowOpened(),
        WindowClosed(reason=HELD),
        SelfTestPassed(),
        SelfTestPassed(held=HELD),
        SelfTestFailed(reason=BAD),
        *([Linked()] if state.phase is not Phase.ACTIVATING or state.tries else []),  # told once per link
        Loaded(manifest_sha256=named),
        LoadFailed(reason=BAD),
        Healthy(manifest_sha256=named),
        Unhealthy(reason=BAD),
        LateFailure(reason=BAD),
        Changed(facts=NOW),
        Changed(facts=THEN),
        Restarted(),
        Exhausted(),
    )


def crossings(lane: str) -> dict[RowName, Crossing]:
    """The shortest way to each row that a lane can take."""
    bare = ModelState(model=MODEL, lane=lane)
    # What a start leaves that found broken files: a release that serves, and nothing wanted.
    bad = Bad(manifest_sha256=release(3).manifest_sha256, index_sha256=release(3).index_sha256, reason="bad")
    mended = replace(bare, active=release(2), previous=release(1), committed_counter=2, quarantine=(bad,))
    starts = (bare, mended)
    found: dict[RowName, Crossing] = {}
    seen = {_outline(start) for start in starts}
    waiting = deque(starts)
    while waiting:
        state = waiting.popleft()
        for event in alphabet(state):
            try:
                row = name_of(state, event)
            except UnknownTransition:
                continue
            found.setdefault(row, Crossing(before=state, event=event))
            after, _ = next_state(state, event)
            if _outline(after) not in seen:
                seen.add(_outline(after))
                waiting.append(after)
    return found


def _outline(state: ModelState) -> tuple[object, ...]:
    """What of a state the rows can tell apart; the walk goes to each outline once."""
    told, active = state.target, state.active
    order = 0 if not told or not active else (told.version > active.version) - (told.version < active.version)
    return (
        state.phase, state.candidate is None, active is None, state.previous is None, state.tries,
        told is None, order, bool(state.quarantine), state.refused_under is not None,
    )  # fmt: skip
