"""Watches what serves: observations, crashes, and the verdicts of probations (agent 4.2, 4.3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from limosa_agent.fetch.time_floor import clock_state
from limosa_agent.health.committed import CommittedWatch
from limosa_agent.health.facts import Failed, Observed, Passed, Replay, Undecided
from limosa_agent.health.probation import Probation, observed
from limosa_agent.health.probes import Probes
from limosa_agent.serving.errors import WorkerGone
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.slot_ref import Observation, PoolEvent, ShadowCrashed, SlotRef, WorkerCrashed
from limosa_agent.telemetry.instance_message import InstanceMessage
from limosa_agent.telemetry.release_shapes import ReleaseShapes
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.telemetry.windows import Snapshot
from limosa_agent.update.events import Event, Healthy, Unhealthy
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue

SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when the clock was set from the network since the start of the system;
other time services leave no such file, and count as a clock of the device's own."""

PostEvent = Callable[[str, Event], None]


class TrialWatch:
    """`probations` is shared with the effects, which begin and end them. `on_crash` hears of each crash
    that no verdict will tell of: one outside a probation (model, reason)."""

    def __init__(
        self,
        *,
        probations: dict[str, Probation],
        telemetry: Telemetry,
        shapes: ReleaseShapes,
        post: PostEvent,
        link_up: Callable[[], bool],
        time_floor: Callable[[], float],
        on_crash: Callable[[str, Reason], None],
        committed: CommittedWatch,
        probes: Probes,
    ) -> None:
        self._on_crash = on_crash
        self._probations = probations
        self._telemetry = telemetry
        self._shapes = shapes
        self._post = post
        self._link_up = link_up
        self._time_floor = time_floor
        self._tasks: set[asyncio.Task[None]] = set()
        self.committed = committed
        self.probes = probes
        self.pool: ServingPool | None = None
        self.requests_lost = 0
        self.on_shadow_crash: Callable[[ShadowCrashed], None] = lambda event: None

    @property
    def probations(self) -> Mapping[str, Probation]:
        return self._probations

    def on_pool(self, event: PoolEvent) -> None:
        """On the loop. Falls back in the same turn where the pool has not done it already."""
        if isinstance(event, WorkerCrashed):
            self._crashed(event)
        elif isinstance(event, ShadowCrashed):
            self.on_shadow_crash(event)
        else:
            self._observed(event)

    def tick(self) -> None:
        serving = self._serving()
        for probation in self._probations.values():
            self.probes.ask_since(probation.model, probation.began_s)
        self.probes.tick(serving)
        for probation in list(self._probations.values()):
            self._judge(probation)
        on_trial = [
            model
            for model, probation in self._probations.items()
            if model in serving and serving[model].manifest_sha256 == probation.manifest_sha256
        ]
        self.committed.tick(serving, self.probes.watching, on_trial=on_trial)

    async def close(self) -> None:
        await self.probes.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def clock_state(self) -> str:
        return clock_state(clock=time.time(), floor=self._time_floor(), synchronised=SYNCHRONISED.exists())

    def _serving(self) -> dict[str, SlotRef]:
        return {slot.model: slot for slot in self.pool.models} if self.pool is not None else {}

    def _observed(self, event: Observation) -> None:
        serving = self._serving().get(event.model)
        if event.shadow and serving is not None and serving.manifest_sha256 == event.manifest_sha256:
            return  # it answers by now: beside itself nothing is compared, and each row would count twice
        loaded = () if self.pool is None else (*self.pool.models, *self.pool.shadows)
        versions = {slot.manifest_sha256: slot.version for slot in loaded}
        version = versions.get(event.manifest_sha256)
        if version is None:
            version = self._telemetry.versions.get(event.manifest_sha256, "0.0.0")
        seen = self._telemetry.observe(event, version=version, clock=self.clock_state(), at=time.time())
        if seen is not None and not event.shadow:
            self._weigh(event.model, seen, generation=event.generation)

    def on_instance(self, message: InstanceMessage) -> None:
        """An application's own instance told what it counted (agent 1). Raises LimosaError."""
        assert self.pool is not None
        shape = self._shapes.find(message.model, message.manifest_sha256)
        slot = self._serving().get(message.model)
        serves = slot is not None and slot.manifest_sha256 == message.manifest_sha256
        seen = self._telemetry.hear(
            message,
            shape,
            generation=self.pool.generation if serves else None,
            clock=self.clock_state(),
            at=time.time(),
        )
        self._weigh(message.model, seen, generation=self.pool.generation, memory=False)

    def _weigh(self, model: str, seen: Observed, *, generation: int, memory: bool = True) -> None:
        """`memory`: the worker's is of now."""
        probation = self._probations.get(model)
        if probation is not None:
            if seen.manifest_sha256 == probation.manifest_sha256:
                # 3.0: only what the candidate itself answered counts
                probation.observe(seen, now_s=time.monotonic(), memory=memory)
                self._judge(probation)
            return
        slot = self._serving().get(model)
        if slot is not None and slot.manifest_sha256 == seen.manifest_sha256:
            self.committed.observe(slot, seen, generation=generation, memory=memory)

    def _judge(self, probation: Probation) -> None:
        verdict = probation.judge(
            now_s=time.monotonic(),
            link_up=self._link_up(),
            probes=self.probes.watching(probation.model),
        )
        if isinstance(verdict, Undecided):
            if verdict.wants_replay and not probation.replaying:
                probation.replaying = True
                task = asyncio.get_running_loop().create_task(self._replay(probation))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        probation.decided = True
        if isinstance(verdict, Passed):
            self._post(
                probation.model, Healthy(manifest_sha256=verdict.manifest_sha256, reason=verdict.reason)
            )
        elif isinstance(verdict, Failed):
            self._post(probation.model, Unhealthy(reason=verdict.reason))

    async def _replay(self, probation: Probation) -> None:
        assert self.pool is not None
        try:
            told = await self.pool.replay_golden(probation.model)
            snapshot = (await self.pool.observe()).get(probation.model)
        except WorkerGone:
            probation.replaying = False  # its end is told as a crash, or the next tick asks again
            return
        if isinstance(snapshot, Mapping) and snapshot.get("manifest_sha256") == probation.manifest_sha256:
            # without traffic nothing is told: its memory is asked for
            with_memory = _seen(probation.manifest_sha256, snapshot)
            if with_memory is not None:
                seen = self._telemetry.note(probation.model, with_memory, self.pool.generation)
                probation.observe(seen, now_s=time.monotonic())
        probation.replay = Replay(n=_count(told, "n"), failed=_count(told, "failed"))
        self._judge(probation)

    def _crashed(self, event: WorkerCrashed) -> None:
        self.requests_lost += event.requests_lost
        reason = crash_reason(event)
        served = {slot.manifest_sha256 for slot in event.models}
        for probation in self._probations.values():
            if probation.manifest_sha256 in served and not probation.decided:
                probation.decided = True
                self._post(probation.model, Unhealthy(reason=reason))
                return
        blamed = next((slot for slot in event.models if slot.model == event.running), None)
        if blamed is None and event.models:
            blamed = event.models[0]
        if blamed is not None:
            self._on_crash(blamed.model, reason)
            self.committed.crashed(blamed, reason)


def crash_reason(event: WorkerCrashed) -> Reason:
    """`worker_hung` where the pool ended it because it did nothing any more, else `worker_crashed`."""
    evidence: dict[str, JsonValue] = {
        "returncode": event.returncode,
        "signal": event.signal_name,
        "requests_lost": event.requests_lost,
        "put_back": event.put_back,
        "hung": event.hung,
    }
    if event.hung:
        return Reason(
            code="worker_hung", message="the serving worker did nothing any more", evidence=evidence
        )
    message = f"the serving worker ended: {event.signal_name or event.returncode}"
    return Reason(code="worker_crashed", message=message, evidence=evidence)


def _seen(manifest_sha256: str, raw: Mapping[str, JsonValue]) -> Observed | None:
    try:
        return observed(manifest_sha256, Snapshot.parse(raw), raw)
    except LimosaError:
        return None


def _count(told: Mapping[str, JsonValue], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) else 0
