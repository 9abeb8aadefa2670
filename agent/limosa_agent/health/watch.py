"""Watches what serves: observations, crashes, and the verdicts of probations (agent 4.2, 4.3)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from limosa_agent.fetch.time_floor import clock_state
from limosa_agent.health.judge import Failed, Passed, Replay, Undecided
from limosa_agent.health.probation import Probation
from limosa_agent.serving.errors import WorkerGone
from limosa_agent.serving.pool import ServingPool
from limosa_agent.serving.slot_ref import Observation, PoolEvent, WorkerCrashed
from limosa_agent.telemetry.telemetry import Telemetry
from limosa_agent.update.events import Event, Healthy, LateFailure, Unhealthy
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonValue

SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd makes it when the clock was set from the network since the start of the system;
other time services leave no such file, and count as a clock of the device's own."""

CRASHES_MAX: Final = 3  # of committed versions within CRASHES_WITHIN_S: then it falls back (4.3)
CRASHES_WITHIN_S: Final = 600.0

PostEvent = Callable[[str, Event], None]


class TrialWatch:
    """`probations` is shared with the effects, which begin and end them. `on_crash` hears of each crash
    that no verdict will tell of: one outside a probation (model, reason)."""

    def __init__(
        self,
        *,
        probations: dict[str, Probation],
        telemetry: Telemetry,
        post: PostEvent,
        link_up: Callable[[], bool],
        time_floor: Callable[[], float],
        on_crash: Callable[[str, Reason], None],
    ) -> None:
        self._on_crash = on_crash
        self._probations = probations
        self._telemetry = telemetry
        self._post = post
        self._link_up = link_up
        self._time_floor = time_floor
        self._crashes: dict[str, deque[float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.pool: ServingPool | None = None
        self.requests_lost = 0

    def on_pool(self, event: PoolEvent) -> None:
        """On the loop. Falls back in the same turn where the pool has not done it already."""
        if isinstance(event, WorkerCrashed):
            self._crashed(event)
        else:
            self._observed(event)

    def tick(self) -> None:
        for probation in list(self._probations.values()):
            self._judge(probation)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def clock_state(self) -> str:
        return clock_state(clock=time.time(), floor=self._time_floor(), synchronised=SYNCHRONISED.exists())

    def _observed(self, event: Observation) -> None:
        versions = {} if self.pool is None else {s.manifest_sha256: s.version for s in self.pool.models}
        version = versions.get(event.manifest_sha256)
        if version is None:
            version = self._telemetry.versions.get(event.manifest_sha256, "0.0.0")
        seen = self._telemetry.observe(event, version=version, clock=self.clock_state(), at=time.time())
        probation = self._probations.get(event.model)
        if seen is None or probation is None or event.manifest_sha256 != probation.manifest_sha256:
            return  # 3.0: only what the candidate itself answered counts
        probation.candidate = seen
        self._judge(probation)

    def _judge(self, probation: Probation) -> None:
        verdict = probation.judge(now_s=time.monotonic(), link_up=self._link_up())
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
        except WorkerGone:
            probation.replaying = False  # its end is told as a crash, or the next tick asks again
            return
        probation.replay = Replay(n=_count(told, "n"), failed=_count(told, "failed"))
        self._judge(probation)

    def _crashed(self, event: WorkerCrashed) -> None:
        self.requests_lost += event.requests_lost
        evidence: dict[str, JsonValue] = {
            "returncode": event.returncode,
            "signal": event.signal_name,
            "requests_lost": event.requests_lost,
            "put_back": event.put_back,
            "hung": event.hung,
        }
        message = f"the serving worker ended: {event.signal_name or event.returncode}"
        served = {slot.manifest_sha256 for slot in event.models}
        for probation in self._probations.values():
            if probation.manifest_sha256 in served and not probation.decided:
                probation.decided = True
                self._post(
                    probation.model,
                    Unhealthy(reason=Reason(code="worker_crashed", message=message, evidence=evidence)),
                )
                return
        blamed = event.running or (event.models[0].model if event.models else "")
        if blamed:
            self._on_crash(blamed, Reason(code="worker_crashed", message=message, evidence=evidence))
        if blamed and self._too_many(blamed):
            reason = Reason(code="crash_loop", message=message, evidence=evidence)
            self._post(blamed, LateFailure(reason=reason))

    def _too_many(self, model: str) -> bool:
        now = time.monotonic()
        crashes = self._crashes.setdefault(model, deque())
        crashes.append(now)
        while crashes and now - crashes[0] > CRASHES_WITHIN_S:
            crashes.popleft()
        if len(crashes) < CRASHES_MAX:
            return False
        crashes.clear()
        return True


def _count(told: Mapping[str, JsonValue], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) else 0
