"""What the rows of the update machine ask and change: named facts and effects on the state (agent 2, 3).

Pure: a guard is a fact about state and event, an effect gives the new state and the actions. The
phase itself is changed by the table in `machine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from limosa_agent.update.events import (
    Event,
    Exhausted,
    Fetched,
    Healthy,
    LateFailure,
    LinkLost,
    Loaded,
    LoadFailed,
    Progressed,
    Refused,
    Restarted,
    SelfTestFailed,
    Unhealthy,
    Wanted,
)
from limosa_agent.update.state import (
    NO_REASON,
    QUARANTINE_MAX,
    Action,
    Bad,
    BeginProbation,
    CollectGarbage,
    FallBack,
    Load,
    ModelState,
    ReleaseStandby,
    RetryFetch,
    RunSelfTest,
    StartFetch,
    StopFetch,
    SwitchLink,
)
from limosa_contracts.event import Reason

TRIES: Final = 3  # loads of a candidate, restarts included, before it counts as bad (agent 3)
ALREADY: Final = Reason(code="already_installed", message="this release is running and committed")

Applied: TypeAlias = tuple[ModelState, Sequence[Action]]


# -- guards: named facts
def verifying(state: ModelState, event: Event) -> bool:
    return isinstance(event, Progressed) and event.verifying


def same_target(state: ModelState, event: Event) -> bool:
    return (
        isinstance(event, Wanted)
        and state.target is not None
        and event.target.identity == state.target.identity
    )


def mode_unsupported(state: ModelState, event: Event) -> bool:
    return isinstance(event, Wanted) and (event.target.mode != "active" or event.target.windowed)


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


def has_previous(state: ModelState, event: Event) -> bool:
    return state.previous is not None


# -- effects on the state
def stay(state: ModelState, event: Event) -> Applied:
    return state, ()


def begin(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Wanted)
    fresh = _attempt(state, event)
    return fresh, (StopFetch(), StartFetch())


def refuse_mode(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Wanted)
    mode = "maintenance windows" if event.target.mode == "active" else f"mode {event.target.mode!r}"
    reason = Reason(code="unsupported_mode", message=f"this agent does not know {mode} yet")
    return replace(_attempt(state, event), reason=reason), (StopFetch(),)


def refuse_quarantined(state: ModelState, event: Event) -> Applied:
    reason = Reason(code="quarantined", message="this release has failed on this device before")
    if isinstance(event, Wanted):
        return replace(_attempt(state, event), reason=reason), (StopFetch(),)
    return replace(state, candidate=None, reason=reason), ()


def acknowledge_active(state: ModelState, event: Event) -> Applied:
    if isinstance(event, Wanted):
        return replace(_attempt(state, event), reason=ALREADY), (StopFetch(),)
    assert isinstance(event, Fetched)
    counter = event.release.release_counter
    return replace(state, active=event.release, committed_counter=counter, reason=ALREADY), ()


def refuse_downgrade(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Fetched)
    reason = Reason(
        code="downgrade",
        message="the release is older than the committed one, and nothing allows going back to it",
        evidence={"offered": event.release.release_counter, "committed": state.committed_counter},
    )
    return replace(state, reason=reason), ()


def stage(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Fetched)
    if not event.transfer:
        return replace(state, candidate=event.release), ()
    told = Reason(code="", message="", evidence={"transfer": event.transfer})
    return replace(state, candidate=event.release, reason=told), ()


def fetch_again(state: ModelState, event: Event) -> Applied:
    return state, (StartFetch(),)


def fetch_later(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, LinkLost)
    return replace(state, reason=event.reason), (RetryFetch(),)


def test_it(state: ModelState, event: Event) -> Applied:
    return state, (RunSelfTest(),)


def take_reason(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Refused)
    return replace(state, reason=event.reason), ()


def reject(state: ModelState, event: Event) -> Applied:
    """The running version is untouched; the digest is not tried again (agent 2)."""
    reason = _reason_of(event)
    return replace(_quarantine(state, reason), candidate=None, reason=reason), (CollectGarbage(),)


def give_up(state: ModelState, event: Event) -> Applied:
    return replace(state, candidate=None, reason=_reason_of(event)), (StopFetch(),)


def arm(state: ModelState, event: Event) -> Applied:
    """Line 5: trying, candidate, tries, before the switch; then line 6."""
    return replace(state, tries=TRIES, reason=NO_REASON), (SwitchLink(),)


def relink(state: ModelState, event: Event) -> Applied:
    """3.0: the link is made again before a try is spent."""
    return state, (SwitchLink(),)


def spend_try(state: ModelState, event: Event) -> Applied:
    """Line 7: durable before loading."""
    return replace(state, tries=state.tries - 1), (Load(),)


def watch(state: ModelState, event: Event) -> Applied:
    return state, (BeginProbation(),)


def commit(state: ModelState, event: Event) -> Applied:
    """Line 8: the candidate is good, what was good before is kept."""
    assert isinstance(event, Healthy)
    assert state.candidate is not None
    done = replace(
        state,
        previous=state.active,
        active=state.candidate,
        candidate=None,
        tries=0,
        committed_counter=state.candidate.release_counter,
        reason=event.reason,
    )
    return done, (ReleaseStandby(), CollectGarbage())


def fall_back(state: ModelState, event: Event) -> Applied:
    """Line 8, else: phase and quarantine in one transaction, then switch back."""
    reason = _reason_of(event)
    return replace(_quarantine(state, reason), tries=0, reason=reason), (FallBack(), SwitchLink())


def fall_back_late(state: ModelState, event: Event) -> Applied:
    """4.3: once, to previous. What fails is the candidate from here on, as in a probation."""
    failing = replace(state, candidate=state.active, active=state.previous, previous=None)
    return fall_back(failing, event)


def note_failure(state: ModelState, event: Event) -> Applied:
    return replace(state, reason=_reason_of(event)), ()


def back(state: ModelState, event: Event) -> Applied:
    return replace(state, candidate=None), (CollectGarbage(),)


def back_again(state: ModelState, event: Event) -> Applied:
    return state, (FallBack(), SwitchLink())


# -- what the effects share
def _attempt(state: ModelState, event: Wanted) -> ModelState:
    return replace(state, target=event.target, candidate=None, tries=0, transitions=0, reason=NO_REASON)


def _quarantine(state: ModelState, reason: Reason) -> ModelState:
    assert state.candidate is not None
    bad = Bad(
        manifest_sha256=state.candidate.manifest_sha256,
        index_sha256=state.candidate.index_sha256,
        reason=reason.code,
    )
    others = tuple(b for b in state.quarantine if b.manifest_sha256 != bad.manifest_sha256)
    return replace(state, quarantine=(*others, bad)[-QUARANTINE_MAX:])


def _reason_of(event: Event) -> Reason:
    if isinstance(event, (Refused, SelfTestFailed, LoadFailed, Unhealthy, LateFailure)):
        return event.reason
    if isinstance(event, Restarted):
        return Reason(code="crash_loop", message="the device restarted during each try of this release")
    assert isinstance(event, Exhausted)
    return Reason(code="crash_loop", message="the attempt made more transitions than one attempt may")
