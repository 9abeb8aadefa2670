"""The device under the update machine: fetch child, self-test, slots on disk, serving pool (agent 1, 3)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from limosa_agent.config import AgentConfig
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.slots import clear_current, clear_staging, collect, switch_current
from limosa_agent.health.probation import Probation, baseline_classes
from limosa_agent.serving.errors import LoadFailed as PoolLoadFailed
from limosa_agent.serving.errors import NothingToFallBackTo
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.slot_ref import SlotRef
from limosa_agent.store.byte_budget import ByteBudget
from limosa_agent.store.floor import keep_floor
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.update.events import (
    Loaded,
    LoadFailed,
    SelfTestFailed,
    SelfTestPassed,
)
from limosa_agent.update.fetching import Fetching, FetchSurroundings
from limosa_agent.update.gatekeeper import Gatekeeper
from limosa_agent.update.state import ModelState, Release
from limosa_agent.update.tasks import Tasks
from limosa_contracts.event import Reason
from limosa_contracts.names import ModelName

log = logging.getLogger(__name__)

FAULT_PAUSE_S: Final = 5.0  # before a self-test for which there was no process


class Lanes(Protocol):
    """What all lanes keep and run, by the durable state."""

    def kept(self, model: str) -> frozenset[str]: ...
    @property
    def shadow_releases(self) -> Mapping[str, Release]: ...


class DeviceEffects:
    """`lanes` is set before anything is carried out."""

    lanes: Lanes

    def __init__(
        self,
        config: AgentConfig,
        pool: ServingPool,
        telemetry: Telemetry,
        around: FetchSurroundings,
        *,
        gatekeeper: Gatekeeper,
        budget: ByteBudget,
        probations: dict[str, Probation],
    ) -> None:
        self._config = config
        self._paths = StatePaths(config.state_dir)
        self._pool = pool
        self._telemetry = telemetry
        self._around = around
        self._gatekeeper = gatekeeper
        self._tasks = Tasks()
        self.fetching = Fetching(
            config,
            around,
            tasks=self._tasks,
            budget=budget,
            moment=gatekeeper.moment,
            make_room=self.make_room,
        )
        self.probations = probations

    # -- fetching
    def start_fetch(self, state: ModelState) -> None:
        self.fetching.start(state)

    def retry_fetch(self, state: ModelState) -> None:
        self.fetching.retry(state)

    def stop_fetch(self, state: ModelState) -> None:
        self.fetching.stop(state)

    # -- trying
    def run_self_test(self, state: ModelState) -> None:
        self._tasks.spawn(self._self_test(state))

    async def _self_test(self, state: ModelState) -> None:
        # Here: at rest the supervisor stays small (agent 1).
        from limosa_agent.health.self_tested import self_tested
        from limosa_agent.serving.self_test import run_self_test

        assert state.candidate is not None
        directory = self.directory(state.model, state.candidate)
        limits = SelfTestLimits(
            memory_max_bytes=self._config.limits.self_test_memory_bytes,
            wall_max_s=self._config.limits.self_test_wall_s,
        )
        while True:
            try:
                failed = await self_tested(
                    directory,
                    lambda: run_self_test(directory, limits, self._config.serving.options),
                    self._config.health,
                )
                break
            except OSError as error:  # no process to be had now: no verdict on the release
                log.warning("the self-test of %s waits: %s", state.model, error)
                await asyncio.sleep(FAULT_PAUSE_S)
        if failed is not None:
            self._around.post(state, SelfTestFailed(reason=failed))
            return
        held = self._gatekeeper.gate(state.model, state.target).switch
        self._around.post(state, SelfTestPassed(held=held))

    # -- serving
    def switch_link(self, state: ModelState) -> None:
        """Agent 3.0: derived from the state; made again whenever it could be in doubt."""
        if state.is_shadow:
            return  # nothing of a challenger is ever linked
        folder = self._folder(state.model)
        keep_floor(folder, state.committed_counter)
        if state.linked is not None:
            switch_current(folder, state.linked.manifest_sha256)
        else:
            clear_current(folder)

    async def load(self, state: ModelState) -> Loaded | LoadFailed:
        assert state.candidate is not None
        if state.is_shadow:
            return await self._load_shadow(state, state.candidate)
        models = [slot for slot in self._pool.models if slot.model != state.model]
        models.append(self.slot(state.model, state.candidate))
        try:
            await self._pool.switch(models, keep_standby=self._config.limits.memory_for_standby)
        except PoolLoadFailed as error:
            return LoadFailed(
                reason=Reason(code="load_failed", message=str(error), evidence=dict(error.evidence))
            )
        if state.active is not None:
            self._telemetry.stop_serving(state.model, state.active.manifest_sha256)
        return Loaded(manifest_sha256=state.candidate.manifest_sha256)

    async def _load_shadow(self, state: ModelState, challenger: Release) -> Loaded | LoadFailed:
        try:
            await self._pool.shadow(self._shadow_slots({state.model: challenger}))
        except PoolLoadFailed as error:
            return LoadFailed(
                reason=Reason(code="load_failed", message=str(error), evidence=dict(error.evidence))
            )
        return Loaded(manifest_sha256=challenger.manifest_sha256)

    def _shadow_slots(self, more: Mapping[str, Release]) -> list[SlotRef]:
        challengers = {**self.lanes.shadow_releases, **more}
        return [self.slot(model, release) for model, release in sorted(challengers.items())]

    async def run_shadows(self) -> None:
        """The challengers that the state names, and no others. Raises nothing for one that does not load:
        whoever serves is not touched by it."""
        try:
            await self._pool.shadow(self._shadow_slots({}))
        except PoolLoadFailed as error:
            log.error("the challengers do not load: %s", error)

    def begin_probation(self, state: ModelState) -> None:
        assert state.candidate is not None
        assert state.target is not None
        before = state.active.manifest_sha256 if state.active else ""
        self.probations[state.model] = Probation(
            model=state.model,
            manifest_sha256=state.candidate.manifest_sha256,
            trial=state.target.trial,
            began_s=time.monotonic(),
            limits=self._config.health,
            previous=self._telemetry.seen(state.model, before),
            baseline_classes=baseline_classes(Path(self.directory(state.model, state.candidate))),
            memory_max_bytes=self._config.limits.worker_memory_max_bytes,
        )

    async def fall_back(self, state: ModelState) -> None:
        """4.4: needs nobody. `state.candidate` is what failed, `state.active` what is good."""
        if state.is_shadow:
            await self.run_shadows()
            return
        self.probations.pop(state.model, None)
        assert state.candidate is not None
        failing = state.candidate.manifest_sha256
        self._telemetry.stop_serving(state.model, failing)
        if not any(slot.manifest_sha256 == failing for slot in self._pool.models):
            return  # a crash put the standby back already, or it was never loaded since the start
        try:
            await self._pool.fall_back()
        except (NothingToFallBackTo, PoolLoadFailed):
            await self._serve_good(state)

    async def _serve_good(self, state: ModelState) -> None:
        """Nothing stands by: the good version is started cold; failing that, the other models alone."""
        others = [slot for slot in self._pool.models if slot.model != state.model]
        good = [self.slot(state.model, state.active)] if state.active else []
        try:
            await self._pool.switch([*others, *good], keep_standby=False)
        except PoolLoadFailed as error:
            log.error("the previous version of %s does not load: %s", state.model, error)
            await self._pool.switch(others, keep_standby=False)

    async def stop_serving(self, state: ModelState) -> None:
        """The others go on in a generation without this model; it answers no more (agent 2, absent)."""
        if state.is_shadow:
            await self.run_shadows()
            return
        self.probations.pop(state.model, None)
        gone = [slot for slot in self._pool.models if slot.model == state.model]
        if gone:
            others = [slot for slot in self._pool.models if slot.model != state.model]
            await self._pool.switch(others, keep_standby=False)
        for slot in gone:
            self._telemetry.stop_serving(state.model, slot.manifest_sha256)

    async def release_standby(self, state: ModelState) -> None:
        self.probations.pop(state.model, None)
        await self._pool.release_standby()

    def collect_garbage(self, state: ModelState) -> None:
        """Agent 3, line 9: outside of what any lane of the model keeps."""
        if not state.is_shadow:
            keep_floor(self._folder(state.model), state.committed_counter)
        if self._folder(state.model).is_dir():
            collect(self._folder(state.model), keep=self.lanes.kept(state.model))

    def make_room(self) -> bool:
        """Whether anything was removed: releases that no lane keeps, and downloads that were given up."""
        removed = False
        for folder in sorted(self._paths.models.glob("*/*")):
            model = f"{folder.parent.name}/{folder.name}"
            removed = bool(collect(folder, keep=self.lanes.kept(model))) or removed
            if model not in self.fetching.models:
                removed = clear_staging(folder) or removed
        return removed

    # -- places
    def slot(self, model: str, release: Release) -> SlotRef:
        return SlotRef(
            model=model,
            version=release.version,
            manifest_sha256=release.manifest_sha256,
            directory=self.directory(model, release),
        )

    def directory(self, model: str, release: Release) -> str:
        return str(self._paths.model(ModelName.parse(model)).release(release.manifest_sha256))

    def _folder(self, model: str) -> Path:
        return self._paths.model(ModelName.parse(model)).folder

    async def close(self) -> None:
        await self._tasks.close()
