"""The update machine under every order of events (agent 2, 3)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from limosa_agent.errors import UnknownTransition
from limosa_agent.update.actions import (
    FallBack,
    Load,
    Report,
    RetryFetch,
    StartFetch,
    StopServing,
    SwitchLink,
)
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
from limosa_agent.update.machine import MAX_TRANSITIONS, TRANSITIONS, accepts, as_mermaid, next_state
from limosa_agent.update.rules import TRIES
from limosa_agent.update.state import Facts, ModelState, Release, Target
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Phase

BAD = Reason(code="bad", message="it is bad")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def release(number: int, *, may_return_to: tuple[str, ...] = ()) -> Release:
    version = f"{number}.0.0"
    return Release(
        version=version,
        index_sha256=sha(f"index {version}"),
        manifest_sha256=sha(f"manifest {version}"),
        release_counter=number,
        may_return_to=may_return_to,
    )


def target(number: int, *, rollout: str = "r1", attempt: int = 1, mode: str = "active") -> Target:
    return Target(
        version=f"{number}.0.0",
        index_sha256=sha(f"index {number}.0.0"),
        rollout=rollout,
        attempt=attempt,
        mode=mode,
    )


def run(state: ModelState, *events: Event) -> ModelState:
    for event in events:
        state, _ = next_state(state, event)
    return state


def committed(number: int, *, before: ModelState | None = None, rollout: str = "r0") -> ModelState:
    return run(
        before or ModelState(model="demo/motion"),
        Wanted(target=target(number, rollout=rollout)),
        Fetched(release=release(number)),
        WindowOpened(),
        SelfTestPassed(),
        Linked(),
        Loaded(manifest_sha256=release(number).manifest_sha256),
        Healthy(manifest_sha256=release(number).manifest_sha256),
    )


def test_good_release_goes_all_the_way() -> None:
    state = committed(2, before=committed(1))
    assert (state.phase, state.active, state.previous) == (Phase.COMMITTED, release(2), release(1))
    assert state.committed_counter == 2


def test_tries_are_spent_before_loading_and_after_the_link() -> None:
    state = run(
        committed(1),
        Wanted(target=target(2)),
        Fetched(release=release(2)),
        WindowOpened(),
    )
    state, actions = next_state(state, SelfTestPassed())
    assert state.tries == TRIES
    assert isinstance(actions[-1], SwitchLink)
    state, actions = next_state(state, Linked())
    assert state.tries == TRIES - 1
    assert actions == (Load(),)


def test_verdict_over_another_digest_is_an_error() -> None:
    state = run(
        committed(1), Wanted(target=target(2)), Fetched(release=release(2)), WindowOpened(), SelfTestPassed(),
        Linked(), Loaded(manifest_sha256=release(2).manifest_sha256),
    )  # fmt: skip
    with pytest.raises(UnknownTransition):
        next_state(state, Healthy(manifest_sha256=release(1).manifest_sha256))


def test_event_that_the_table_lacks_is_an_error() -> None:
    with pytest.raises(UnknownTransition):
        next_state(ModelState(model="demo/motion"), SelfTestPassed())


def test_downgrade_needs_the_running_releases_word_or_a_permit() -> None:
    three = committed(3)
    refused = run(three, Wanted(target=target(2)), Fetched(release=release(2)))
    assert (refused.phase, refused.reason.code) == (Phase.REJECTED, "downgrade")
    allowing = replace(three, active=release(3, may_return_to=("2.0.0",)))
    assert run(allowing, Wanted(target=target(2)), Fetched(release=release(2))).phase is Phase.STAGED
    permitted = replace(target(2), permit={"signed": "by the team"})
    assert run(three, Wanted(target=permitted), Fetched(release=release(2))).phase is Phase.STAGED


def test_release_that_runs_already_is_told_for_the_new_rollout() -> None:
    state, actions = next_state(committed(1), Wanted(target=target(1, rollout="r9")))
    (report,) = [action for action in actions if isinstance(action, Report)]
    assert (state.phase, report.rollout, report.reason.code) == (Phase.COMMITTED, "r9", "already_installed")


def test_failed_release_is_refused_at_once_in_the_next_attempt() -> None:
    state = run(
        committed(1), Wanted(target=target(2)), Fetched(release=release(2)), WindowOpened(),
        SelfTestFailed(reason=BAD),
    )  # fmt: skip
    assert (state.phase, state.active) == (Phase.REJECTED, release(1))
    again, actions = next_state(state, Wanted(target=target(2, attempt=2)))
    assert (again.phase, again.reason.code) == (Phase.REJECTED, "quarantined")
    assert not any(isinstance(action, StartFetch) for action in actions)
    assert next_state(again, Wanted(target=target(2, attempt=2)))[1] == ()


def test_late_failure_falls_back_once() -> None:
    state = run(committed(2, before=committed(1)), LateFailure(reason=BAD))
    assert (state.phase, state.active, state.previous) == (Phase.FALLING_BACK, release(1), None)
    state = run(state, Linked())
    assert state.phase is Phase.FELL_BACK
    assert run(state, LateFailure(reason=BAD)).active == release(1)


def test_lost_links_never_exhaust_an_attempt() -> None:
    state = run(committed(1), Wanted(target=target(2)), Progressed())
    for _ in range(10 * MAX_TRANSITIONS):
        state, actions = next_state(state, LinkLost(reason=BAD))
        assert RetryFetch() in actions
    assert state.phase is Phase.DOWNLOADING


def test_attempt_that_goes_in_circles_ends() -> None:
    state = run(committed(1), Wanted(target=target(2)), Fetched(release=release(2)))
    for _ in range(MAX_TRANSITIONS):
        if state.phase is Phase.REJECTED:
            break
        state = run(state, WindowOpened())
        if state.phase is Phase.SELF_TESTING:
            state = run(state, Restarted())  # the self-test takes the whole device down
    assert (state.phase, state.active) == (Phase.REJECTED, release(1))


def test_drawing_shows_every_phase() -> None:
    drawing = as_mermaid()
    assert drawing.startswith("stateDiagram-v2")
    assert all(phase.value in drawing for phase in Phase)


def test_every_phase_can_survive_a_restart() -> None:
    assert all(Restarted in rows for rows in TRANSITIONS.values())


class AnyOrder(RuleBasedStateMachine):
    """A device, its disk and its server, in any order that the table allows."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ModelState(model="demo/motion")
        self.on_disk: set[str] = set()  # verified manifests
        self.link: str | None = None
        self.link_told = True
        self.loaded: str | None = None  # manifest that answers
        self.reports: list[str] = []
        self.ever_active = False
        self.floor = 0

    def give(self, event: Event) -> None:
        before = self.state
        self.state, actions = next_state(before, event)
        for action in actions:
            if isinstance(action, Report):
                self.reports.append(action.key)
            elif isinstance(action, SwitchLink):
                self.link = self.state.linked.manifest_sha256 if self.state.linked else None
                self.link_told = False
            elif isinstance(action, Load):
                assert self.state.candidate is not None
                assert self.link == self.state.candidate.manifest_sha256, "loaded before the link"
                self.loaded = self.link
            elif isinstance(action, FallBack):
                self.loaded = self.state.active.manifest_sha256 if self.state.active else None
            elif isinstance(action, StopServing):
                self.loaded = None
        if self.state.phase is not before.phase:
            told = [action for action in actions if isinstance(action, Report)]
            assert [report.phase for report in told] == [self.state.phase], "each change is told once"
        if before.phase is Phase.PROBATION and self.state.phase is Phase.COMMITTED:
            assert self.state.active is not None
            assert self.state.active.manifest_sha256 == self.loaded, "the verdict names what served"
        if self.state.active and self.state.active != before.active and self.state.phase is Phase.COMMITTED:
            self.floor = self.state.active.release_counter

    def can(self, kind: type[Event]) -> bool:
        return accepts(self.state.phase, kind)

    @rule(
        number=st.integers(1, 4),
        rollout=st.sampled_from(["r1", "r2", "r3"]),
        attempt=st.integers(1, 2),
        permitted=st.booleans(),
        held=st.sampled_from([None, None, BAD]),
    )
    def want(self, number: int, rollout: str, attempt: int, permitted: bool, held: Reason | None) -> None:
        if self.can(Wanted):
            wanted = target(number, rollout=rollout, attempt=attempt)
            permit: dict[str, JsonValue] | None = {"signed": "by the team"} if permitted else None
            self.give(Wanted(target=replace(wanted, permit=permit), held=held))

    @precondition(lambda self: self.state.active is not None)
    @rule(attempt=st.integers(1, 2))
    def want_none(self, attempt: int) -> None:
        if self.can(Wanted):
            self.give(Wanted(target=target(1, rollout="gone", attempt=attempt, mode="absent")))
            if self.state.phase is Phase.REMOVING:
                self.ever_active = False  # it was asked for

    @rule(facts=st.sampled_from([Facts(agent="1", capabilities_sha256="a", free_bytes=n) for n in (1, 2)]))
    def changes(self, facts: Facts) -> None:
        if self.can(Changed):
            self.give(Changed(facts=facts))

    @rule(verifying=st.booleans())
    def progress(self, verifying: bool) -> None:
        if self.can(Progressed):
            self.give(Progressed(verifying=verifying))

    @rule()
    def fetched(self) -> None:
        if self.can(Fetched):
            assert self.state.target is not None
            found = release(int(self.state.target.version[0]))
            self.on_disk.add(found.manifest_sha256)
            self.give(Fetched(release=found))

    @rule(kind=st.sampled_from([LinkLost, Refused, SelfTestFailed, LoadFailed, Unhealthy, LateFailure]))
    def fails(
        self, kind: type[LinkLost | Refused | SelfTestFailed | LoadFailed | Unhealthy | LateFailure]
    ) -> None:
        if self.can(kind):
            self.give(kind(reason=BAD))

    @rule(opened=st.booleans())
    def window(self, opened: bool) -> None:
        event: Event = WindowOpened() if opened else WindowClosed(reason=BAD)
        if self.can(type(event)):
            self.give(event)

    @rule()
    def self_test_passes(self) -> None:
        if self.can(SelfTestPassed):
            self.give(SelfTestPassed())

    @rule()
    def linked(self) -> None:
        if self.can(Linked) and not self.link_told:
            self.link_told = True
            self.give(Linked())

    @precondition(lambda self: self.loaded is not None)
    @rule()
    def loads_or_passes(self) -> None:
        assert self.loaded is not None
        for event in (Loaded(manifest_sha256=self.loaded), Healthy(manifest_sha256=self.loaded)):
            named = self.state.candidate and self.state.candidate.manifest_sha256 == self.loaded
            if self.can(type(event)) and named:
                self.give(event)
                return

    @rule()
    def restarts(self) -> None:
        self.loaded = self.state.active.manifest_sha256 if self.state.active else None
        self.link_told = True
        self.give(Restarted())

    @rule()
    def verdict_over_another_digest(self) -> None:
        if self.can(Healthy):
            with pytest.raises(UnknownTransition):
                next_state(self.state, Healthy(manifest_sha256=sha("another")))

    @rule()
    def gives_up(self) -> None:
        if self.can(Exhausted):
            self.give(Exhausted())

    @invariant()
    def only_verified_digests_serve(self) -> None:
        assert self.loaded is None or self.loaded in self.on_disk
        assert self.link is None or self.link in self.on_disk

    @invariant()
    def a_model_is_never_lost(self) -> None:
        removing = self.state.phase is Phase.REMOVING
        self.ever_active = self.ever_active or (self.state.active is not None and not removing)
        assert self.state.active is not None or not self.ever_active
        if self.state.on_trial and self.ever_active:
            assert self.state.active is not None, "what was good before is kept until the commit"

    @invariant()
    def never_below_the_committed_counter(self) -> None:
        permitted = self.state.target is not None and self.state.target.permit is not None
        if self.state.candidate and self.state.on_trial and not permitted:
            assert self.state.candidate.release_counter >= self.floor

    @invariant()
    def quarantined_digests_are_not_tried(self) -> None:
        bad = {entry.manifest_sha256 for entry in self.state.quarantine}
        if self.state.on_trial:
            assert self.state.candidate is not None
            assert self.state.candidate.manifest_sha256 not in bad

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert self.state.transitions <= MAX_TRANSITIONS + 2
        assert 0 <= self.state.tries <= TRIES


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
