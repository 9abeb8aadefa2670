"""What the rows of the update machine change: effects on the state, and actions asked for (agent 2, 3).

Pure. What the rows ask is in `guards`; the phase itself is changed by the table in `machine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from limosa_agent.update.actions import (
    Action,
    BeginProbation,
    CollectGarbage,
    FallBack,
    Load,
    ReleaseStandby,
    RetryFetch,
    RunSelfTest,
    StartFetch,
    StopFetch,
    StopServing,
    SwitchLink,
)
from limosa_agent.update.events import (
    Event,
    Exhausted,
    Fetched,
    Healthy,
    LateFailure,
    LinkLost,
    LoadFailed,
    Refused,
    Restarted,
    SelfTestFailed,
    SelfTestPassed,
    Unhealthy,
    Wanted,
    WindowClosed,
)
from limosa_agent.update.state import NO_REASON, QUARANTINE_MAX, Bad, ModelState
from limosa_contracts.errors import InvalidField
from limosa_contracts.event import Reason

TRIES: Final = 3  # loads of a candidate, restarts included, before it counts as bad (agent 3)
ALREADY: Final = Reason(code="already_installed", message="this release is running and committed")
NOT_HERE: Final = Reason(code="not_installed", message="nothing of this model is on this device")

Applied: TypeAlias = tuple[ModelState, Sequence[Action]]


def stay(state: ModelState, event: Event) -> Applied:
    return state, ()


def adopt(state: ModelState, event: Event) -> Applied:
    """The same attempt, whose trial or window may have been changed."""
    assert isinstance(event, Wanted)
    return replace(state, target=event.target), ()


def begin(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Wanted)
    return _attempt(state, event), (StopFetch(), StartFetch())


def begin_later(state: ModelState, event: Event) -> Applied:
    """Downloads wait for a window too: nothing is fetched until then."""
    assert isinstance(event, Wanted)
    assert event.held is not None
    return replace(_attempt(state, event), reason=event.held), (StopFetch(),)


def begin_again(state: ModelState, event: Event) -> Applied:
    """What it was refused for has changed on this device."""
    return replace(state, transitions=0, reason=NO_REASON, refused_under=None), (StopFetch(), StartFetch())


def refuse_window(state: ModelState, event: Event) -> Applied:
    from limosa_contracts.maintenance_window import MaintenanceWindows  # 0.2 MB that most devices never need

    assert isinstance(event, Wanted)
    assert event.target.window is not None
    why = ""
    try:
        MaintenanceWindows.parse(event.target.window)
    except InvalidField as error:
        why = str(error)
    reason = Reason(code="window_invalid", message=f"a maintenance window cannot be read: {why}"[:1000])
    return replace(_attempt(state, event), reason=reason), (StopFetch(),)


def pause_fetch(state: ModelState, event: Event) -> Applied:
    """What has come stays. A pause by the clock is no circle: the attempt's count begins anew."""
    assert isinstance(event, WindowClosed)
    return replace(state, reason=event.reason, transitions=0), (StopFetch(),)


def fetch_now(state: ModelState, event: Event) -> Applied:
    return replace(state, reason=NO_REASON), (StartFetch(),)


def wait(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, WindowClosed)
    return replace(state, reason=event.reason), ()


def wait_again(state: ModelState, event: Event) -> Applied:
    """It passed its self-test, and must not be switched now: it is tested again when it may."""
    assert isinstance(event, SelfTestPassed)
    assert event.held is not None
    return replace(state, reason=event.held, transitions=0), ()


def acknowledge_absent(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Wanted)
    return replace(_attempt(state, event), reason=NOT_HERE), (StopFetch(), CollectGarbage())


def remove(state: ModelState, event: Event) -> Applied:
    """Durable first; then nothing answers, then the link is taken away. The counter and the quarantine
    stay: a removal is no way around either (trust 2.4)."""
    assert isinstance(event, Wanted)
    return _attempt(state, event), (StopFetch(), StopServing(), SwitchLink())


def remove_again(state: ModelState, event: Event) -> Applied:
    return state, (StopServing(), SwitchLink())


def removed(state: ModelState, event: Event) -> Applied:
    return replace(state, active=None, previous=None, candidate=None), (CollectGarbage(),)


def tidy(state: ModelState, event: Event) -> Applied:
    """Power may have been lost between the end of an attempt and its collection (agent 3, line 9)."""
    return state, (CollectGarbage(),)


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
    if state.is_shadow:
        return replace(state, active=event.release, reason=ALREADY), ()
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
    told = state.reason if not state.reason.code else NO_REASON
    return replace(state, reason=told), (RunSelfTest(),)


def take_reason(state: ModelState, event: Event) -> Applied:
    assert isinstance(event, Refused)
    return replace(state, reason=event.reason, refused_under=event.under), ()


def reject(state: ModelState, event: Event) -> Applied:
    """The running version is untouched; the digest is not tried again (agent 2)."""
    reason = _reason_of(event)
    return replace(_quarantine(state, reason), candidate=None, reason=reason), (CollectGarbage(),)


def give_up(state: ModelState, event: Event) -> Applied:
    return replace(state, candidate=None, reason=_reason_of(event)), (StopFetch(),)


def arm(state: ModelState, event: Event) -> Applied:
    """Line 5: trying, candidate, tries, before the switch; then line 6. A shadow has no link to switch."""
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


def commit_shadow(state: ModelState, event: Event) -> Applied:
    """It runs beside; no answer of it is used, so nothing is on trial, and no counter moves (trust 2.4)."""
    assert state.candidate is not None
    done = replace(state, active=state.candidate, candidate=None, tries=0)
    return done, (CollectGarbage(),)


def fall_back(state: ModelState, event: Event) -> Applied:
    """Line 8, else: phase and quarantine in one transaction, then switch back."""
    reason = _reason_of(event)
    return replace(_quarantine(state, reason), tries=0, reason=reason), (FallBack(), SwitchLink())


def fall_back_late(state: ModelState, event: Event) -> Applied:
    """4.3: once, to previous. What fails is the candidate from here on, as in a probation."""
    failing = replace(state, candidate=state.active, active=state.previous, previous=None)
    return fall_back(failing, event)


def drop_and_fall_back(state: ModelState, event: Event) -> Applied:
    """The running version fails while another is on its way: that attempt is forgotten, and looked at
    afresh once the device is back on its feet."""
    after, actions = fall_back_late(replace(state, target=None), event)
    return after, (StopFetch(), *actions)


def note_failure(state: ModelState, event: Event) -> Applied:
    return replace(state, reason=_reason_of(event)), ()


def back(state: ModelState, event: Event) -> Applied:
    return replace(state, candidate=None), (CollectGarbage(),)


def back_again(state: ModelState, event: Event) -> Applied:
    return state, (FallBack(), SwitchLink())


def aged_quarantine(state: ModelState, *, now: float, life_s: float) -> ModelState:
    """Entries that are over are left out; those without an end get one. What ends here is not tried
    again by that: the next attempt may be, as one of another release."""
    kept = tuple(
        bad if bad.until else replace(bad, until=int(now + life_s))
        for bad in state.quarantine
        if not bad.until or bad.until > now
    )
    return state if kept == state.quarantine else replace(state, quarantine=kept)


# -- what the effects share
def _attempt(state: ModelState, event: Wanted) -> ModelState:
    return replace(
        state,
        target=event.target,
        candidate=None,
        tries=0,
        transitions=0,
        reason=NO_REASON,
        refused_under=None,
        committed_counter=event.floor if state.is_shadow else state.committed_counter,
    )


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
