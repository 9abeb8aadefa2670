"""The serving side without its workers: to load a release is to read all of it and to find it whole.

The update machine, its journal, the slots and the links around it are the agent's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from limosa_agent import supervisor as supervisor_module
from limosa_agent.config import AgentConfig
from limosa_agent.errors import JournalCorrupt
from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.slots import read_current, verify_release
from limosa_agent.identity.identity import load_identity, recover_identity
from limosa_agent.serving.errors import LoadFailed, NothingToFallBackTo
from limosa_agent.serving.slot_ref import SlotRef
from limosa_agent.store.journal import Journal
from limosa_agent.store.opening import open_state
from limosa_agent.store.state_db import StateDb
from limosa_agent.supervisor import Supervisor
from limosa_agent.update.effects import DeviceEffects
from limosa_agent.update.rules import TRIES
from limosa_agent.update.state import ModelState


class DiskPool:
    """Where `ServingPool` would start workers, this checks what a worker would find."""

    def __init__(self, **given: object) -> None:
        self.models: Sequence[SlotRef] = ()
        self.shadows: Sequence[SlotRef] = ()
        self.served: set[str] = set()  # manifests that were loaded, ever
        self.requests_lost = 0
        self.generation = 0
        self.worker_pids: Sequence[int] = ()
        self.shadow_pid: int | None = None
        self._standby: Sequence[SlotRef] | None = None

    async def start(self, models: Sequence[SlotRef]) -> None:
        self._load(models)

    async def switch(self, models: Sequence[SlotRef], *, keep_standby: bool) -> int:
        before = self.models
        self._load(models)
        self._standby = before if keep_standby else None
        return self.generation

    async def fall_back(self) -> int:
        if self._standby is None:
            raise NothingToFallBackTo("nothing stands by")
        self._load(self._standby)
        self._standby = None
        return self.generation

    async def release_standby(self) -> None:
        self._standby = None

    async def shadow(self, models: Sequence[SlotRef]) -> None:
        self.shadows = tuple(models)

    async def stop(self) -> None:
        self.models = ()

    def _load(self, models: Sequence[SlotRef]) -> None:
        for slot in models:
            folder = Path(slot.directory).parents[1]
            try:
                verify_release(folder, slot.manifest_sha256)
            except ReleaseBroken as error:
                raise LoadFailed("a release does not load", where=slot.directory, why=str(error)) from error
            check_before_load(folder, slot)
        self.generation += 1
        self.models = tuple(models)
        self.served |= {slot.manifest_sha256 for slot in models}


def check_before_load(folder: Path, slot: SlotRef) -> None:
    """agent 3, lines 6 and 7: what is on trial is linked, and its try is spent, before it is loaded."""
    state = journal_of(folder.parents[2]).get(slot.model)
    if state is None or state.candidate is None or state.candidate.manifest_sha256 != slot.manifest_sha256:
        return
    assert state.tries < TRIES, "a candidate is loaded whose try was not spent"
    assert read_current(folder) == slot.manifest_sha256, "a candidate is loaded that is not linked"


def journal_of(state_dir: Path) -> Mapping[str, ModelState]:
    """The states as another process reads them now."""
    with closing(StateDb.open(state_dir)) as db:
        return Journal(db).load()


class DiskEffects(DeviceEffects):
    """Fetching and the self-test have paths of their own; here the test tells how they ended."""

    def start_fetch(self, state: ModelState) -> None:
        return

    retry_fetch = run_self_test = start_fetch


class Booted:
    """One start of the agent on a state folder."""

    def __init__(self, supervisor: Supervisor, pool: DiskPool, corrupt: JournalCorrupt | None) -> None:
        self.supervisor = supervisor
        self.pool = pool
        self.corrupt = corrupt

    def state(self, model: str) -> ModelState:
        return self.supervisor.updater.state(model)

    def serving(self, model: str) -> str | None:
        """The manifest that answers."""
        return next((slot.manifest_sha256 for slot in self.pool.models if slot.model == model), None)


def config_of(state_dir: Path, server: str) -> AgentConfig:
    return AgentConfig(server=server, state_dir=state_dir)


@contextmanager
def agent(
    config: AgentConfig,
    *,
    around: Callable[[StateDb], AbstractContextManager[None]] = lambda db: nullcontext(),
) -> Iterator[Booted]:
    """Made, not started: `await booted.supervisor.start()` does that."""
    recover_identity(config.identity_dir)
    identity = load_identity(config.identity_dir)
    db, corrupt = open_state(config)
    try:
        with around(db):
            with (
                patch.object(supervisor_module, "ServingPool", DiskPool),
                patch.object(supervisor_module, "DeviceEffects", DiskEffects),
            ):
                made = Supervisor(config=config, identity=identity, db=db, sockets=(), link_up=lambda: False)
            pool: object = made.pool
            assert isinstance(pool, DiskPool)
            yield Booted(made, pool, corrupt)
    finally:
        db.close()


async def stopped(booted: Booted) -> None:
    """As a power cut would: nothing is said at the end."""
    await booted.supervisor.watch.close()
    await booted.supervisor.effects.close()
    await asyncio.sleep(0)
