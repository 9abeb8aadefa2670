"""Generations of serving workers: the switch nobody notices, and the way back (agent 1).

The supervisor owns the listening sockets; each generation inherits them, so a connection that no
worker has accepted yet waits in the kernel for the next that does. Roles: one generation serves,
at most one stands by (probation), others leave: they answer what is still open and end.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

from limosa_agent.resident import rss_bytes
from limosa_agent.serving.errors import LoadFailed, NothingToFallBackTo, WorkerGone
from limosa_agent.serving.graph_maker import GraphMaker
from limosa_agent.serving.limits import SelfTestLimits, ServingLimits
from limosa_agent.serving.memory import StandbyRoom, available_bytes
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.shadow_lane import ShadowLane
from limosa_agent.serving.slot_ref import Observation, PoolEvent, ShadowCrashed, SlotRef, WorkerCrashed
from limosa_agent.serving.worker_process import ASK_MAX_S, WorkerProcess, crash_of, failed_start
from limosa_contracts.json_value import JsonObject, JsonValue

__all__ = [
    "Observation",
    "PoolEvent",
    "ServingLimits",
    "ServingPool",
    "ShadowCrashed",
    "SlotRef",
    "WorkerCrashed",
]

log = logging.getLogger(__name__)

REPLAY_MAX_S: Final = 120.0
QUIET_MAX_S: Final = 0.5  # a generation that is dismissed must stop accepting in this time
WATCH_EVERY_S: Final = 1.0
LEAVING_MAX: Final = 3  # generations that still answer old connections; above, the oldest must hurry
STABLE_S: Final = 60.0  # after this long without a crash the restart back-off begins anew


class ServingPool:
    def __init__(
        self,
        *,
        sockets: Sequence[socket.socket],
        limits: ServingLimits,
        on_event: Callable[[PoolEvent], None],
        options: RuntimeOptions | None = None,
        graph_limits: SelfTestLimits | None = None,
        available: Callable[[], int | None] = available_bytes,
    ) -> None:
        """`sockets` listen already; they stay the caller's. `on_event` is called on the loop.

        `available` tells how many bytes of memory are left, None for unknown.
        """
        self._sockets: Final = tuple(sockets)
        self._limits: Final = limits
        self._options: Final = options or RuntimeOptions()
        self._graphs: Final = GraphMaker(graph_limits or SelfTestLimits(), self._options)
        self._room: Final = StandbyRoom(available, limits.standby_reserve_bytes)
        self._on_event: Final = on_event
        self._turn: Final = asyncio.Lock()  # one change of generations at a time
        self._shadow_turn: Final = asyncio.Lock()
        self._numbered = 0
        self._generation = 0
        self._models: tuple[SlotRef, ...] = ()
        self._serving: WorkerProcess | None = None
        self._standby: WorkerProcess | None = None
        self._previous: tuple[SlotRef, ...] | None = None  # what fall_back returns to, until released
        self._was_put_back = False
        self._leaving: Final[list[WorkerProcess]] = []
        self._restart_after_s = limits.restart_first_s
        self._served_since = 0.0
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._stopping = False
        self._lane: Final = ShadowLane(
            limits=limits,
            options=self._options,
            number=self._next_number,
            on_event=on_event,
            on_change=self._tap_again,
        )
        self.requests_lost = 0  # inside workers that ended without being asked to, whatever their role

    @property
    def generation(self) -> int:
        """The one that accepts."""
        return self._generation

    @property
    def models(self) -> Sequence[SlotRef]:
        return self._models

    @property
    def worker_pids(self) -> Sequence[int]:
        """Of all living workers, the one that accepts first."""
        workers = (self._serving, self._standby, *self._leaving)
        return tuple(worker.pid for worker in workers if worker is not None and worker.alive)

    @property
    def shadows(self) -> Sequence[SlotRef]:
        """What the shadow worker runs now: nothing after its crash."""
        return self._lane.slots

    @property
    def shadow_pid(self) -> int | None:
        return self._lane.pid

    # -- what the supervisor asks for

    async def start(self, models: Sequence[SlotRef]) -> None:
        """The first generation. Raises LoadFailed."""
        async with self._turn:
            self._serve(await self._spawn(models))
            self._run(self._watch())

    async def switch(self, models: Sequence[SlotRef], *, keep_standby: bool) -> int:
        """Starts, warms and lets accept the next generation; the one before drains, and stands by where
        that is wanted and memory allows: else a fall back starts its set again.

        Raises LoadFailed, and nothing has changed then.
        """
        async with self._turn:
            worker = await self._spawn(models)
            before, self._previous = self._serving, self._models
            self._dismiss(self._standby)
            self._standby, self._was_put_back = None, False
            self._serve(worker)
            if before is not None and await self._quieten(before):
                if keep_standby and self._room.fits(serving_rss=rss_bytes(worker.pid)):
                    self._standby = before
                else:
                    self._dismiss(before)
            return worker.generation

    async def fall_back(self) -> int:
        """The previous set accepts again; the failing generation ends. Returns who serves now.

        Nothing is left to do if a crash has put it back already. Raises NothingToFallBackTo, and
        LoadFailed if the previous set must be started again and cannot: what serves goes on then.
        """
        async with self._turn:
            if self._was_put_back and self._serving is not None:
                return self._generation
            if self._previous is None:
                raise NothingToFallBackTo("there is no previous set of models")
            worker = await self._awake_standby() or await self._spawn(self._previous)
            failing = self._serving if self._serving is not worker else None
            self._standby = self._previous = None
            self._serve(worker)
            if failing is not None and await self._quieten(failing):
                self._dismiss(failing, idle_s=self._limits.failing_idle_s)
            return worker.generation

    async def release_standby(self) -> None:
        """The new set is good: the previous generation answers what is open, and ends."""
        async with self._turn:
            standby, self._standby, self._previous = self._standby, None, None
            self._dismiss(standby)

    async def shadow(self, models: Sequence[SlotRef]) -> None:
        """These challengers, and no others, get copies of what the active versions are asked; [] ends that.

        Raises LoadFailed, and the challengers before go on then. What serves is never touched.
        """
        async with self._shadow_turn:
            if self._stopping:
                return
            await self._lane.replace(models)
            await self._tell_taps()

    def tell_metrics(self, text: str) -> None:
        """What the worker adds to its own numbers in `GET /metrics`, until it is told again."""
        if self._serving is not None and not self._stopping:
            self._run(self._tell_metrics(self._serving, text))

    async def replay_golden(self, model: str) -> Mapping[str, JsonValue]:
        """{"n", "failed", "p95_us", "max_abs_error"} of the generation that serves. Raises WorkerGone."""
        return await self._ask_serving("replay", timeout_s=REPLAY_MAX_S, model=model)

    async def observe(self) -> Mapping[str, JsonValue]:
        """Model -> snapshot of the generation that serves, now. Raises WorkerGone."""
        return await self._ask_serving("observe", timeout_s=ASK_MAX_S)

    async def stop(self) -> None:
        """Ends all workers; what they have begun they finish, within `stop_grace_s`."""
        self._stopping = True
        async with self._turn:
            workers = [w for w in (self._serving, self._standby, *self._leaving) if w is not None]
            for worker in workers:
                worker.leaving = True
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.stop(idle_s=0.0) for worker in workers))
            self._serving = self._standby = None
            self._leaving.clear()
        async with self._shadow_turn:
            await self._lane.close()

    # -- generations

    async def _spawn(self, models: Sequence[SlotRef]) -> WorkerProcess:
        """A new generation that is warm and accepts. Raises LoadFailed."""
        worker = WorkerProcess(
            generation=self._next_number(),
            models=models,
            limits=self._limits,
            on_gone=self._on_gone,
            on_observation=self._on_observation,
            options=self._options,
            tap=self._lane.tap,
        )
        await worker.start(self._sockets)
        try:
            await worker.ask("tap", models=self._lane.names)
            await worker.ask("accept")
        except WorkerGone as error:
            worker.leaving = True
            await worker.kill()
            raise LoadFailed("the worker ended as it began to accept", why=str(error)) from error
        if worker.want_graphs:
            self._run(self._graphs.make(worker.want_graphs))
        return worker

    def _serve(self, worker: WorkerProcess) -> None:
        self._serving = worker
        self._models = worker.models
        self._generation = worker.generation
        self._served_since = time.monotonic()
        self._tap_again()

    def _next_number(self) -> int:
        self._numbered += 1
        return self._numbered

    async def _tell_metrics(self, worker: WorkerProcess, text: str) -> None:
        with suppress(WorkerGone):
            await worker.ask("metrics", text=text)

    def _tap_again(self) -> None:
        if not self._stopping:
            self._run(self._tell_taps())

    async def _tell_taps(self) -> None:
        """Who serves, and who may at once, is told of which models the shadow wants copies."""
        for worker in (self._serving, self._standby):
            if worker is not None:
                with suppress(WorkerGone):
                    await worker.ask("tap", models=self._lane.names)

    def _give_up_standby(self) -> None:
        """What to fall back to is still known; its set would be started again."""
        if self._standby is not None and self._room.is_gone():
            log.warning("the previous generation ends: memory is short")
            standby, self._standby = self._standby, None
            self._dismiss(standby, idle_s=0.0)

    async def _awake_standby(self) -> WorkerProcess | None:
        """The standby, accepting again; None if there is none."""
        standby = self._standby
        if standby is None:
            return None
        try:
            await standby.ask("accept")
        except WorkerGone:
            return None
        return standby

    async def _quieten(self, worker: WorkerProcess) -> bool:
        """It accepts nothing more; False if it had to be killed."""
        try:
            await worker.ask("drain", timeout_s=QUIET_MAX_S)
        except WorkerGone:
            worker.leaving = True
            await worker.kill()
            return False
        return True

    def _dismiss(self, worker: WorkerProcess | None, *, idle_s: float | None = None) -> None:
        """Lets it answer what is open, for `idle_s` (default drain_idle_s), then end."""
        if worker is None or not worker.alive:
            return
        worker.leaving = True
        self._leaving.append(worker)
        self._run(self._see_off(worker, self._limits.drain_idle_s if idle_s is None else idle_s))
        if len(self._leaving) > LEAVING_MAX:
            self._run(self._leaving[0].stop(idle_s=0.0))

    async def _see_off(self, worker: WorkerProcess, idle_s: float) -> None:
        await worker.stop(idle_s=idle_s)
        self._leaving.remove(worker)

    # -- ends that nobody asked for

    def _on_gone(self, worker: WorkerProcess) -> None:
        """The moment a worker's control line ends. No await before the standby is told."""
        if worker.leaving or self._stopping:
            return
        self.requests_lost += worker.requests_lost
        if worker is self._standby:
            self._standby = None  # a fall back starts its set again
            self._run(worker.ended())
        elif worker is self._serving:
            standby = self._standby
            if standby is not None and standby.alive:
                self._standby = self._previous = None
                self._was_put_back = True
                self._serve(standby)
                self._run(self._put_back(worker, standby, time.monotonic()))
            else:
                self._serving = None
                self._run(self._restart(worker))

    async def _put_back(self, crashed: WorkerProcess, standby: WorkerProcess, since: float) -> None:
        try:
            await standby.ask("accept")
            accepted = True
        except WorkerGone:
            accepted = False  # its own end is on the way to _on_gone, which starts its set again
        back_after_s = time.monotonic() - since
        await crashed.ended()
        self._on_event(crash_of(crashed, put_back=accepted, back_after_s=back_after_s))

    async def _restart(self, crashed: WorkerProcess) -> None:
        """The same set again, with back-off, until it serves or another change has been made."""
        await crashed.ended()
        self._on_event(crash_of(crashed, put_back=False))
        if time.monotonic() - self._served_since > STABLE_S:
            self._restart_after_s = self._limits.restart_first_s
        while self._serving is None:
            await asyncio.sleep(self._restart_after_s)
            self._restart_after_s = min(self._restart_after_s * 2, self._limits.restart_max_s)
            async with self._turn:
                await self._start_again()

    async def _start_again(self) -> None:
        if self._serving is not None:
            return
        try:
            self._serve(await self._spawn(self._models))
        except LoadFailed as error:
            log.warning("the set that crashed does not load again: %s", error)
            self._on_event(failed_start(self._numbered, self._models))

    async def look(self) -> None:
        """Ends every worker that hangs now. The pool looks by itself, every WATCH_EVERY_S."""
        for worker in (self._serving, self._standby):
            if worker is not None and worker.silent_for_s() > self._limits.hang_s:
                worker.hung = True
                await worker.kill()
        if not self._turn.locked():
            self._give_up_standby()
        await self._lane.watch()

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(WATCH_EVERY_S)
            if time.monotonic() - before > WATCH_EVERY_S + self._limits.hang_s / 2:
                continue  # this process itself stood still, and the workers with it: a frozen container
            await self.look()

    def _on_observation(self, worker: WorkerProcess, message: JsonObject) -> None:
        snapshot = message["observation"]
        self._on_event(
            Observation(
                generation=worker.generation,
                model=str(message.get("model")),
                manifest_sha256=str(message.get("manifest_sha256")),
                snapshot=cast("JsonObject", snapshot),
            )
        )

    async def _ask_serving(self, op: str, *, timeout_s: float, **arguments: JsonValue) -> JsonObject:
        if self._serving is None:
            raise WorkerGone("no worker serves now")
        answer = await self._serving.ask(op, timeout_s=timeout_s, **arguments)
        return cast("JsonObject", answer)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the serving pool failed", exc_info=error)
