"""The pool's side of the shadow worker: one set of challengers at a time, or none (agent 1)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.slot_ref import Observation, PoolEvent, ShadowCrashed, SlotRef
from limosa_agent.serving.worker_process import WorkerProcess
from limosa_contracts.json_value import JsonObject, JsonValue

MODULE: Final = "limosa_agent.serving.shadow_worker"


class ShadowLane:
    """Touches nobody: what it raises or tells concerns challengers alone."""

    def __init__(
        self,
        *,
        limits: ServingLimits,
        options: RuntimeOptions,
        number: Callable[[], int],
        on_event: Callable[[PoolEvent], None],
        on_change: Callable[[], None],
    ) -> None:
        """`number` gives the next generation; `on_change` is told when challengers end by themselves."""
        self._limits: Final = limits
        self._options: Final = options
        self._number: Final = number
        self._on_event: Final = on_event
        self._on_change: Final = on_change
        self._worker: WorkerProcess | None = None
        self._telling: Final[set[asyncio.Task[None]]] = set()
        self._ends: tuple[socket.socket, socket.socket] | None = None

    @property
    def tap(self) -> int:
        """The descriptor that every serving worker inherits."""
        return self._way()[0].fileno()

    @property
    def slots(self) -> tuple[SlotRef, ...]:
        worker = self._worker
        return worker.models if worker is not None and worker.alive else ()

    @property
    def names(self) -> list[JsonValue]:
        """Models of which copies are wanted."""
        return list[JsonValue](sorted({slot.model for slot in self.slots}))

    @property
    def pid(self) -> int | None:
        worker = self._worker
        return worker.pid if worker is not None and worker.alive else None

    async def replace(self, models: Sequence[SlotRef]) -> None:
        """[] ends the shadow worker. Raises LoadFailed: the set before goes on then."""
        worker = await self._spawn(models) if models else None
        before, self._worker = self._worker, worker
        if before is not None:
            await before.stop(idle_s=0.0)

    async def watch(self) -> None:
        """Ends a worker whose loop no longer turns; its end is told as a crash.

        Not by the clock alone: it gets what processor time others leave, which on a busy device may be none
        for minutes. Nobody waits for it, and copies that it does not take are dropped.
        """
        worker, limits = self._worker, self._limits
        if worker is None:
            return
        silent_s, busy_s = worker.silent_for_s(), worker.busy_for_s()
        if silent_s > limits.shadow_silent_max_s or min(silent_s, busy_s) > limits.hang_s:
            worker.hung = True
            await worker.kill()

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(idle_s=0.0)
        await asyncio.gather(*self._telling, return_exceptions=True)
        ends, self._ends = self._ends, None
        for end in ends or ():
            end.close()

    def _way(self) -> tuple[socket.socket, socket.socket]:
        """Copies go in at one end and come out of the other; it outlives every worker."""
        if self._ends is None:
            self._ends = given, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The kernel doubles the number, for what it needs beside the bytes.
            given.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.shadow_wait_max_bytes // 2)
        return self._ends

    async def _spawn(self, models: Sequence[SlotRef]) -> WorkerProcess:
        worker = WorkerProcess(
            generation=self._number(),
            models=models,
            limits=self._limits,
            on_gone=self._on_gone,
            on_observation=self._on_observation,
            options=self._options,
            module=MODULE,
            tap=self._way()[1].fileno(),
        )
        await worker.start(())
        return worker

    def _on_gone(self, worker: WorkerProcess) -> None:
        if worker.leaving or worker is not self._worker:
            return
        self._worker = None
        self._on_change()
        task = asyncio.get_running_loop().create_task(self._tell(worker))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, worker: WorkerProcess) -> None:
        await worker.ended()
        died_in = worker.running_slot
        self._on_event(
            ShadowCrashed(
                models=worker.models,
                signal_name=worker.signal_name,
                running=died_in.model if died_in else "",
                manifest_sha256=died_in.manifest_sha256 if died_in else "",
                returncode=worker.returncode,
                hung=worker.hung,
            )
        )

    def _on_observation(self, worker: WorkerProcess, message: JsonObject) -> None:
        self._on_event(
            Observation(
                generation=worker.generation,
                model=str(message.get("model")),
                manifest_sha256=str(message.get("manifest_sha256")),
                snapshot=cast("JsonObject", message["observation"]),
                shadow=True,
            )
        )
