"""Level-triggered: each model goes from where it is towards what is desired (agent 2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from limosa_agent.config import AgentConfig
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.update.events import Event, Wanted, WindowClosed, WindowOpened
from limosa_agent.update.state import Target
from limosa_agent.update.updater import Updater
from limosa_contracts.desired import DesiredModel
from limosa_contracts.event import Reason
from limosa_contracts.phases import Phase

BUSY: Final = (Phase.SELF_TESTING, Phase.ACTIVATING, Phase.PROBATION, Phase.FALLING_BACK)
"""Only one model at a time goes through these, so that a crash is laid at the right door."""


class Reconciler:
    """`dispatch` carries out one event of a model; `may_begin` says whether a new attempt may begin."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        updater: Updater,
        inbox: DesiredInbox,
        dispatch: Callable[[str, Event], Awaitable[None]],
        may_begin: Callable[[], bool],
    ) -> None:
        self._config = config
        self._updater = updater
        self._inbox = inbox
        self._dispatch = dispatch
        self._may_begin = may_begin

    async def run(self) -> None:
        """Once over every model; done again, it changes nothing until something else has changed."""
        entries = self._inbox.state.models if self._inbox.state else ()
        others = {entry.model for entry in entries if entry.mode != "shadow"}
        for entry in entries:
            if entry.mode != "shadow" or entry.model not in others:
                await self._want(entry)
        for model in list(self._updater.states):
            await self._let_through(model)

    async def _want(self, entry: DesiredModel) -> None:
        state, target = self._updater.state(entry.model), Target.of(entry)
        if state.target is not None and state.target.identity == target.identity:
            return
        accepts = self._updater.accepts(entry.model, Wanted)
        if accepts and not self._inbox.expired and self._may_begin():
            await self._dispatch(entry.model, Wanted(target=target))

    async def _let_through(self, model: str) -> None:
        """From STAGED on, unless an update lock is set; one model at a time."""
        if not self._updater.accepts(model, WindowOpened):
            return
        if self._config.hold_file.exists():
            if self._updater.state(model).phase is Phase.STAGED:
                await self._dispatch(
                    model, WindowClosed(reason=Reason(code="hold", message="the file `hold` is there"))
                )
        elif not any(state.phase in BUSY for state in self._updater.states.values()):
            await self._dispatch(model, WindowOpened())
