"""Carries out what the update machine decides: state and reports first, durably, then the effects."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeAlias

from limosa_agent.link.outbox import Outbox
from limosa_agent.store.journal import Journal, reports_of
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.actions import (
    Action,
    BeginProbation,
    CollectGarbage,
    FallBack,
    Load,
    ReleaseStandby,
    Report,
    RetryFetch,
    RunSelfTest,
    StartFetch,
    StopFetch,
    StopServing,
    SwitchLink,
)
from limosa_agent.update.events import Event, Linked, Loaded, LoadFailed
from limosa_agent.update.machine import accepts, next_state
from limosa_agent.update.rules import aged_quarantine
from limosa_agent.update.state import SHADOW, SHADOW_MARK, ModelState, Release
from limosa_contracts.phases import Phase


class Effects(Protocol):
    """The device under the update machine. What takes long is started here and tells its end by an
    event to `Updater.dispatch`."""

    def start_fetch(self, state: ModelState) -> None: ...
    def stop_fetch(self, state: ModelState) -> None: ...
    def retry_fetch(self, state: ModelState) -> None: ...
    def run_self_test(self, state: ModelState) -> None: ...
    def switch_link(self, state: ModelState) -> None: ...
    async def load(self, state: ModelState) -> Loaded | LoadFailed: ...
    def begin_probation(self, state: ModelState) -> None: ...
    async def fall_back(self, state: ModelState) -> None: ...
    async def stop_serving(self, state: ModelState) -> None: ...
    async def release_standby(self, state: ModelState) -> None: ...
    def collect_garbage(self, state: ModelState) -> None: ...


Executor: TypeAlias = Callable[[Effects, ModelState], Awaitable[Event | None]]


async def _start_fetch(effects: Effects, state: ModelState) -> None:
    effects.start_fetch(state)


async def _stop_fetch(effects: Effects, state: ModelState) -> None:
    effects.stop_fetch(state)


async def _retry_fetch(effects: Effects, state: ModelState) -> None:
    effects.retry_fetch(state)


async def _run_self_test(effects: Effects, state: ModelState) -> None:
    effects.run_self_test(state)


async def _switch_link(effects: Effects, state: ModelState) -> Event:
    effects.switch_link(state)
    return Linked()


async def _load(effects: Effects, state: ModelState) -> Event:
    return await effects.load(state)


async def _begin_probation(effects: Effects, state: ModelState) -> None:
    effects.begin_probation(state)


async def _fall_back(effects: Effects, state: ModelState) -> None:
    await effects.fall_back(state)


async def _stop_serving(effects: Effects, state: ModelState) -> None:
    await effects.stop_serving(state)


async def _release_standby(effects: Effects, state: ModelState) -> None:
    await effects.release_standby(state)


async def _collect_garbage(effects: Effects, state: ModelState) -> None:
    effects.collect_garbage(state)


EXECUTORS: Final[Mapping[type[Action], Executor]] = {
    StartFetch: _start_fetch,
    StopFetch: _stop_fetch,
    RetryFetch: _retry_fetch,
    RunSelfTest: _run_self_test,
    SwitchLink: _switch_link,
    Load: _load,
    BeginProbation: _begin_probation,
    FallBack: _fall_back,
    StopServing: _stop_serving,
    ReleaseStandby: _release_standby,
    CollectGarbage: _collect_garbage,
}


class Updater:
    """Every model's update machine. `encode` makes an event's payload from a report."""

    def __init__(
        self,
        db: StateDb,
        outbox: Outbox,
        effects: Effects,
        *,
        encode: Callable[[Report], bytes],
    ) -> None:
        self._db = db
        self._journal = Journal(db)
        self._outbox = outbox
        self._effects = effects
        self._encode = encode
        self._lock = asyncio.Lock()
        self.states: dict[str, ModelState] = self._journal.load()
        self.shadows: dict[str, ModelState] = self._journal.load_shadows()

    # -- lanes. A lane is named by `ModelState.key`: the model, or the model and `#shadow`.
    def state(self, key: str) -> ModelState:
        model = key.removesuffix(SHADOW_MARK)
        if model == key:
            return self.states.get(model) or ModelState(model=model)
        return self.shadows.get(model) or ModelState(model=model, lane=SHADOW)

    @property
    def lanes(self) -> tuple[ModelState, ...]:
        """Every lane, those that answer first, by model."""
        return tuple(lanes[model] for lanes in (self.states, self.shadows) for model in sorted(lanes))

    def kept(self, model: str) -> frozenset[str]:
        """Manifests that garbage collection leaves alone: of either lane (agent 3, line 9)."""
        return self.state(model).kept | self.state(model + SHADOW_MARK).kept

    @property
    def shadow_releases(self) -> Mapping[str, Release]:
        """What shall run beside, by model. A lane that is REMOVING holds its release until it is gone."""
        return {
            model: state.active
            for model, state in self.shadows.items()
            if state.active is not None and state.phase is not Phase.REMOVING
        }

    def accepts(self, key: str, kind: type[Event]) -> bool:
        return accepts(self.state(key).phase, kind)

    def age_quarantine(self, *, now: float, life_s: float) -> None:
        """Ends the quarantines that are over, and gives an end to those that have none yet. `now` is the
        reference time of a clock that is to be trusted, Unix seconds."""
        for state in self.lanes:
            aged = aged_quarantine(state, now=now, life_s=life_s)
            if aged != state:
                self.repair(aged)

    async def dispatch(self, model: str, event: Event) -> None:
        """The event of a lane, and all that follow from its actions. Raises UnknownTransition."""
        async with self._lock:
            pending: deque[Event] = deque([event])
            while pending:
                actions = self._transit(model, pending.popleft())
                for action in actions:
                    following = await EXECUTORS[type(action)](self._effects, self.state(model))
                    if following is not None:
                        pending.append(following)

    def repair(self, state: ModelState) -> None:
        """What the disk no longer holds is taken out of the state, before anything is dispatched."""
        with self._db.transaction(f"{state.key} repair") as connection:
            self._journal.save(state, connection=connection)
        self._know(state)

    async def forget(self, key: str) -> None:
        """A lane that holds nothing is as if it had never been named; another stays."""
        async with self._lock:
            state = self.state(key)
            if not state.holds_nothing:
                return
            self._effects.stop_fetch(state)
            with self._db.transaction(f"{key} forget") as connection:
                self._journal.forget(state, connection=connection)
            (self.shadows if state.is_shadow else self.states).pop(state.model, None)

    def _know(self, state: ModelState) -> None:
        lanes = self.shadows if state.is_shadow else self.states
        lanes[state.model] = state

    def _transit(self, model: str, event: Event) -> list[Action]:
        before = self.state(model)
        after, actions = next_state(before, event)
        if after != before or reports_of(actions):
            with self._db.transaction(f"{model} {after.phase.value}") as connection:
                self._journal.save(after, connection=connection)
                for report in reports_of(actions):
                    self._outbox.put_event(report.key, self._encode(report), connection=connection)
        self._know(after)
        return [action for action in actions if not isinstance(action, Report)]
