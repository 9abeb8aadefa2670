"""What the rows of the update machine ask: named facts about a state and an event (agent 2, 3). Pure."""

from __future__ import annotations

from typing import Final

from limosa_agent.update.events import (
    Changed,
    Event,
    Fetched,
    Healthy,
    Loaded,
    Progressed,
    SelfTestPassed,
    Wanted,
)
from limosa_agent.update.state import ABSENT, ModelState, Target
from limosa_contracts.errors import InvalidField

DISK_FULL: Final = "disk_full"  # the fetch child's reason where space is wanting
FREED_LEAST_BYTES: Final = 1024**2  # more free space than at the refusal: logs alone move less


def verifying(state: ModelState, event: Event) -> bool:
    return isinstance(event, Progressed) and event.verifying


def same_target(state: ModelState, event: Event) -> bool:
    return (
        isinstance(event, Wanted)
        and state.target is not None
        and event.target.identity == state.target.identity
    )


def already_active(state: ModelState, event: Event) -> bool:
    if isinstance(event, Wanted):
        return state.active is not None and state.active.index_sha256 == event.target.index_sha256
    return (
        isinstance(event, Fetched)
        and state.active is not None
        and state.active.manifest_sha256 == event.release.manifest_sha256
    )


def quarantined(state: ModelState, event: Event) -> bool:
    if isinstance(event, Wanted):
        return any(bad.index_sha256 == event.target.index_sha256 for bad in state.quarantine)
    return isinstance(event, Fetched) and any(
        bad.manifest_sha256 == event.release.manifest_sha256 for bad in state.quarantine
    )


def downgrade(state: ModelState, event: Event) -> bool:
    """trust 2.4: below the committed counter only by may_return_to or a permit (whose signature the
    fetch child checked: it alone holds the team's key)."""
    if not isinstance(event, Fetched) or event.release.release_counter >= state.committed_counter:
        return False
    allowed = state.active is not None and event.release.version in state.active.may_return_to
    permitted = state.target is not None and state.target.permit is not None
    return not (allowed or permitted)


def tries_left(state: ModelState, event: Event) -> bool:
    return state.tries > 0


def names_candidate(state: ModelState, event: Event) -> bool:
    """3.0: a verdict counts only for the digest that answered."""
    return (
        isinstance(event, (Healthy, Loaded))
        and state.candidate is not None
        and event.manifest_sha256 == state.candidate.manifest_sha256
    )


def can_go_back(state: ModelState, event: Event) -> bool:
    """A shadow goes back to nothing: no answer depends on it."""
    return state.previous is not None or (state.is_shadow and state.active is not None)


def is_shadow(state: ModelState, event: Event) -> bool:
    return state.is_shadow and names_candidate(state, event)


def wants_none(state: ModelState, event: Event) -> bool:
    return isinstance(event, Wanted) and event.target.mode == ABSENT


def none_is_here(state: ModelState, event: Event) -> bool:
    return wants_none(state, event) and not state.kept


def window_unreadable(state: ModelState, event: Event) -> bool:
    return isinstance(event, Wanted) and _window_error(event.target) is not None


def held(state: ModelState, event: Event) -> bool:
    return isinstance(event, (Wanted, SelfTestPassed)) and event.held is not None


def nothing_fetched(state: ModelState, event: Event) -> bool:
    return state.candidate is None


def has_changed(state: ModelState, event: Event) -> bool:
    """Only what the refusal was about counts (rollouts 3.9): for want of space, more free space than
    then and than was needed; else another agent or other capabilities."""
    then = state.refused_under
    if not isinstance(event, Changed) or then is None or state.target is None:
        return False
    if state.reason.code == DISK_FULL:
        needed = state.reason.evidence.get("needed_bytes")
        least = max(then.free_bytes + FREED_LEAST_BYTES, needed if isinstance(needed, int) else 0)
        return event.facts.free_bytes >= least
    now = event.facts
    return (now.agent, now.capabilities_sha256) != (then.agent, then.capabilities_sha256)


def _window_error(target: Target) -> InvalidField | None:
    if target.window is None:
        return None
    from limosa_contracts.maintenance_window import MaintenanceWindows  # 0.2 MB that most devices never need

    try:
        MaintenanceWindows.parse(target.window)
    except InvalidField as error:
        return error
    return None
