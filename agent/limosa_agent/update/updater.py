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
from limosa_agent.update.state import ModelState


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

    def state(self, model: str) -> ModelState:
        return self.states.get(model) or ModelState(model=model)

    def accepts(self, model: str, kind: type[Event]) -> bool:
        return accepts(self.state(model).phase, kind)

    async def dispatch(self, model: str, event: Event) -> None:
        """The event, and all that follow from its actions. Raises UnknownTransition."""
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
        with self._db.transaction(f"{state.model} repair") as connection:
            self._journal.save(state, connection=connection)
        self.states[state.model] = state

    def _transit(self, model: str, event: Event) -> list[Action]:
        before = self.state(model)
        after, actions = next_state(before, event)
        if after != before or reports_of(actions):
            with self._db.transaction(f"{model} {after.phase.value}") as connection:
                self._journal.save(after, connection=connection)
                for report in reports_of(actions):
                    self._outbox.put_event(report.key, self._encode(report), connection=connection)
        self.states[model] = after
        return [action for action in actions if not isinstance(action, Report)]
