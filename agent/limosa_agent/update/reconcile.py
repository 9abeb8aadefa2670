"""Level-triggered: each lane of each model goes from where it is towards what is desired (agent 2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.update.events import Changed, Event, Wanted, WindowClosed, WindowOpened
from limosa_agent.update.gatekeeper import Gatekeeper
from limosa_agent.update.guards import has_changed
from limosa_agent.update.state import ABSENT, SHADOW, SHADOW_MARK, Facts, ModelState, Target
from limosa_agent.update.updater import Updater
from limosa_contracts.desired import DesiredModel
from limosa_contracts.event import Reason
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase

BUSY: Final = (
    Phase.SELF_TESTING,
    Phase.ACTIVATING,
    Phase.PROBATION,
    Phase.FALLING_BACK,
    Phase.REMOVING,
)
"""Only one lane at a time goes through these, so that a crash is laid at the right door."""
LOOK_AGAIN_S: Final = 60.0  # facts of the device are compared, and quarantines end, this often


class Reconciler:
    """`dispatch` carries out one event of a lane, named by its key; `may_begin` says whether a new attempt
    may begin."""

    def __init__(
        self,
        *,
        updater: Updater,
        inbox: DesiredInbox,
        gatekeeper: Gatekeeper,
        facts: Callable[[], Facts],
        quarantine_s: float,
        dispatch: Callable[[str, Event], Awaitable[None]],
        may_begin: Callable[[], bool],
    ) -> None:
        self._updater = updater
        self._inbox = inbox
        self._gatekeeper = gatekeeper
        self._facts = facts
        self._quarantine_s = quarantine_s
        self._dispatch = dispatch
        self._may_begin = may_begin
        self._looked_s = -LOOK_AGAIN_S
        self._one = asyncio.Lock()  # what came from the link and the supervisor's own turn both run it

    async def run(self) -> None:
        """Once over every lane; done again, it changes nothing until something else has changed."""
        async with self._one:
            await self._over_all()

    async def _over_all(self) -> None:
        if time.monotonic() - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s = time.monotonic()
            await self._look_again()
        if self._inbox.state is not None:
            await self._forget_strangers({entry.model for entry in self._inbox.state.models})
            for entry in self._inbox.state.models:
                await self._want(entry)
            await self._drop_shadows({e.model for e in self._inbox.state.models if e.mode == SHADOW})
        for state in self._updater.lanes:
            await self._let_through(state.key)

    async def _look_again(self) -> None:
        await self._inbox.look_again()
        if self._gatekeeper.clock_trusted:
            self._updater.age_quarantine(now=self._inbox.now, life_s=self._quarantine_s)
        refused = [state for state in self._updater.lanes if state.refused_under is not None]
        if not refused:
            return
        changed = Changed(facts=self._facts())
        for state in refused:
            if state.phase is Phase.REJECTED and has_changed(state, changed) and not self._inbox.expired:
                await self._dispatch(state.key, changed)

    async def _want(self, entry: DesiredModel) -> None:
        key = entry.model + SHADOW_MARK if entry.mode == SHADOW else entry.model
        state, target = self._updater.state(key), Target.of(entry)
        if state.target == target or not self._updater.accepts(key, Wanted):
            return
        again = state.target is not None and state.target.identity == target.identity
        # trust 4.2: an expired document stops new installs, and nothing else
        if not again and (self._inbox.expired or not self._may_begin()):
            return
        gate = self._gatekeeper.gate(entry.model, target)
        if target.mode == ABSENT and gate.switch is not None and not again:
            return  # taking a model away is a switch too: it waits, and runs until then
        floor = self._updater.state(entry.model).committed_counter
        await self._dispatch(key, Wanted(target=target, held=gate.download, floor=floor))

    async def _forget_strangers(self, named: set[str]) -> None:
        """A director that was captured can name other models with each document: of those that are named
        no more, only what holds something stays, and that takes releases that a team has signed."""
        if len(self._updater.lanes) <= LIMITS.models_per_device_max:
            return
        for state in self._updater.lanes:
            if state.model not in named and state.holds_nothing:
                await self._updater.forget(state.key)

    async def _drop_shadows(self, wanted: set[str]) -> None:
        """A challenger that the desired state names no more is taken away."""
        for model, state in sorted(self._updater.shadows.items()):
            if model in wanted or self._inbox.expired or state.target is None:
                continue
            if state.target.mode != ABSENT and self._updater.accepts(state.key, Wanted):
                await self._dispatch(state.key, Wanted(target=replace(state.target, mode=ABSENT, rollout="")))

    async def _let_through(self, key: str) -> None:
        """Opens or closes the way of a lane that waits, or that downloads; one lane at a time from there."""
        state = self._updater.state(key)
        fetching = state.phase in (Phase.RESOLVING, Phase.DOWNLOADING)
        if not fetching and not self._updater.accepts(key, WindowOpened):
            return  # a lane at rest: holds, locks and windows are not read for it
        gate = self._gatekeeper.gate(state.model, state.target)
        if fetching:
            if gate.download is not None:
                await self._dispatch(key, WindowClosed(reason=gate.download))
        else:
            closed = gate.switch if state.candidate is not None else gate.download
            if closed is not None:
                await self._close(state, closed)
            elif state.candidate is None or not any(one.phase in BUSY for one in self._updater.lanes):
                await self._dispatch(key, WindowOpened())

    async def _close(self, state: ModelState, reason: Reason) -> None:
        if state.phase is Phase.STAGED or state.reason != reason:
            await self._dispatch(state.key, WindowClosed(reason=reason))
