"""The device under the update machine: fetch child, self-test, slots on disk, serving pool (agent 1, 3)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Final, Protocol

from limosa_agent.config import AgentConfig
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.fetch.slots import clear_current, collect, switch_current
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_agent.health.probation import Probation, baseline_classes
from limosa_agent.link.backoff import Backoff
from limosa_agent.serving.errors import LoadFailed as PoolLoadFailed
from limosa_agent.serving.errors import NothingToFallBackTo
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.self_test import run_self_test
from limosa_agent.serving.slot_ref import SlotRef
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.update.events import (
    Event,
    Fetched,
    LinkLost,
    Loaded,
    LoadFailed,
    Progressed,
    Refused,
    SelfTestFailed,
    SelfTestPassed,
)
from limosa_agent.update.state import ModelState, Release
from limosa_contracts.errors import LimosaError, SystemRefused
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ModelName

log = logging.getLogger(__name__)

FAULT_PAUSE_S: Final = 5.0  # before a self-test for which there was no process
FAULTS_MAX: Final = 5  # faults of this device (a full disk) in a row, before the attempt is given up


class Surroundings(Protocol):
    """What the effects need from the supervisor."""

    def post(self, state: ModelState, event: Event) -> None: ...
    def fetch_source(self) -> dict[str, JsonValue]: ...
    def fetch_failed(self, failed: FetchFailed) -> None: ...
    def capabilities(self) -> JsonObject: ...
    def time_floor(self) -> float: ...
    def learned(self, result: JsonObject) -> None: ...


class DeviceEffects:
    def __init__(
        self,
        config: AgentConfig,
        pool: ServingPool,
        telemetry: Telemetry,
        around: Surroundings,
        *,
        probations: dict[str, Probation],
    ) -> None:
        self._config = config
        self._paths = StatePaths(config.state_dir)
        self._pool = pool
        self._telemetry = telemetry
        self._around = around
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._fetching: dict[str, ModelState] = {}
        self._pauses: dict[str, Backoff] = {}
        self._faults: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_fetch = asyncio.Lock()  # a child takes 60 MB, and the lock of the blobs is for one
        self.probations = probations

    # -- fetching
    def start_fetch(self, state: ModelState) -> None:
        self.stop_fetch(state)
        self._pauses[state.model] = Backoff(
            least_s=self._config.reconnect_min_s,
            most_s=self._config.reconnect_max_s,
            chance=random.random,
        )
        self._faults[state.model] = 0
        self._fetching[state.model] = state
        self._fetches[state.model] = self._spawn(self._fetch(state, pause_s=0.0))

    def retry_fetch(self, state: ModelState) -> None:
        pauses = self._pauses.setdefault(
            state.model,
            Backoff(
                least_s=self._config.reconnect_min_s,
                most_s=self._config.reconnect_max_s,
                chance=random.random,
            ),
        )
        self._fetching[state.model] = state
        self._fetches[state.model] = self._spawn(self._fetch(state, pause_s=pauses.next_s()))

    def fetch_again(self) -> None:
        """Fetches come from elsewhere now: those that run or wait begin anew, at once."""
        for model, task in list(self._fetches.items()):
            if not task.done():
                self.start_fetch(self._fetching[model])

    def stop_fetch(self, state: ModelState) -> None:
        task = self._fetches.pop(state.model, None)
        if task is not None:
            task.cancel()

    async def _fetch(self, state: ModelState, *, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        told = ""

        def progressed(progress: JsonObject) -> None:
            nonlocal told
            phase = str(progress.get("phase", ""))
            if phase != told:
                told = phase
                self._around.post(state, Progressed(verifying=phase == "VERIFYING"))

        outcome: JsonObject | FetchFailed
        try:
            async with self._one_fetch:
                outcome = await run_fetch(self._request(state), progressed)
        except OSError as error:  # no process to be had now
            outcome = FetchFailed(
                kind="fault", reason="fault", code=SystemRefused.code, message=str(error), evidence={}
            )
        if isinstance(outcome, FetchFailed):
            self._around.fetch_failed(outcome)
            self._around.post(state, self._failed(state.model, outcome))
            return
        try:
            release = _release(state, outcome)
        except LimosaError as error:
            broken = FetchFailed(
                kind="fault", reason="fault", code=error.code, message=str(error), evidence={}
            )
            self._around.post(state, self._failed(state.model, broken))
            return
        self._around.learned(outcome)
        nothing: JsonObject = {}
        fields = Fields(outcome, where="fetch.result")
        transfer = fields.optional("transfer", fields.object, nothing)
        self._around.post(state, Fetched(release=release, transfer=transfer))

    def _request(self, state: ModelState) -> dict[str, JsonValue]:
        assert state.target is not None
        budget = self._config.limits.download_budget_bytes
        return {
            "op": "install",
            "model": state.model,
            "version": state.target.version,
            "index_sha256": state.target.index_sha256,
            "committed_counter": state.committed_counter,
            "running_may_return_to": list(state.active.may_return_to) if state.active else [],
            "permit": state.target.permit,
            "capabilities": self._around.capabilities(),
            "quarantined": [bad.manifest_sha256 for bad in state.quarantine],
            "byte_budget": budget or None,
            "limits": {"delta_memory_bytes": self._config.limits.delta_memory_bytes},
            **self._around.fetch_source(),  # last: a mirror has no byte budget
        }

    def _failed(self, model: str, failed: FetchFailed) -> Event:
        reason = Reason(
            code=failed.reason, message=f"{failed.code}: {failed.message}", evidence=failed.evidence
        )
        log.warning("fetch of %s failed: %s", model, reason.message)
        if failed.kind in ("trust", "request"):
            return Refused(reason=reason)
        if failed.kind == "fault":
            self._faults[model] = self._faults.get(model, 0) + 1
            if self._faults[model] >= FAULTS_MAX:
                return Refused(reason=reason)
        return LinkLost(reason=reason)

    # -- trying
    def run_self_test(self, state: ModelState) -> None:
        self._spawn(self._self_test(state))

    async def _self_test(self, state: ModelState) -> None:
        assert state.candidate is not None
        limits = SelfTestLimits(
            memory_max_bytes=self._config.limits.self_test_memory_bytes,
            wall_max_s=self._config.limits.self_test_wall_s,
        )
        while True:
            try:
                result = await run_self_test(self.directory(state.model, state.candidate), limits)
                break
            except OSError as error:  # no process to be had now: no verdict on the release
                log.warning("the self-test of %s waits: %s", state.model, error)
                await asyncio.sleep(FAULT_PAUSE_S)
        if result.ok:
            self._around.post(state, SelfTestPassed())
            return
        reason = Reason(code=result.reason_code, message=result.message, evidence=dict(result.evidence))
        self._around.post(state, SelfTestFailed(reason=reason))

    # -- serving
    def switch_link(self, state: ModelState) -> None:
        """Agent 3.0: derived from the state; made again whenever it could be in doubt."""
        folder = self._folder(state.model)
        if state.linked is not None:
            switch_current(folder, state.linked.manifest_sha256)
        else:
            clear_current(folder)

    async def load(self, state: ModelState) -> Loaded | LoadFailed:
        assert state.candidate is not None
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
            previous=self._telemetry.latest.get((state.model, before)),
            baseline_classes=baseline_classes(Path(self.directory(state.model, state.candidate))),
            memory_max_bytes=self._config.limits.worker_memory_max_bytes,
        )

    async def fall_back(self, state: ModelState) -> None:
        """4.4: needs nobody. `state.candidate` is what failed, `state.active` what is good."""
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
        collect(self._folder(state.model), keep=state.kept)

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

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the update ended by a defect", exc_info=task.exception())

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _release(state: ModelState, result: Mapping[str, JsonValue]) -> Release:
    assert state.target is not None
    fields = Fields(result, where="fetch.result")
    return Release(
        version=state.target.version,
        index_sha256=state.target.index_sha256,
        manifest_sha256=fields.text("manifest_sha256"),
        variant=fields.text("variant", empty=True),
        release_counter=fields.integer("release_counter", low=0),
        may_return_to=fields.texts("may_return_to"),
    )
