"""The serving worker: one process, one generation of models (agent 1).

Started by `worker_process.py` with inherited listening sockets, one end of a socket pair for control
(JSON lines), and a page of counters. It ends when its supervisor does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from limosa_agent.resident import rss_bytes
from limosa_agent.serving.control_line import ControlLine
from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.event_loop import new_event_loop
from limosa_agent.serving.inference_api import InferenceApi
from limosa_agent.serving.limited_child import (
    SERVING_OOM_SCORE,
    STANDBY_OOM_SCORE,
    die_with_parent,
    set_oom_score,
)
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel, load_all, remember_beside
from limosa_agent.serving.protocol import HttpConnection, Traffic
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.shadow_tap import ShadowTap
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_agent.serving.worker_metrics import ModelCounts, serving_metrics
from limosa_agent.telemetry.prometheus import render
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
BACKLOG: Final = 512  # connections the kernel holds while no generation accepts


class Worker:
    """Control messages in, control messages out; connections in between."""

    def __init__(
        self,
        *,
        sockets: Sequence[socket.socket],
        control: ControlLine,
        counters: SharedCounters,
        limits: ServingLimits,
        models: Sequence[LoadedModel],
        tap: ShadowTap | None = None,
    ) -> None:
        self._sockets: Final = sockets
        self._control: Final = control
        self._counters: Final = counters
        self._limits: Final = limits
        self._models: Final = models
        self._tap: Final = tap
        self._api: Final = InferenceApi(models, limits, counters, metrics_text=self._metrics_text)
        self._supervisor_metrics = ""  # as it told them last
        self._traffic: Final = Traffic(
            limits=limits, answer=self._api.answer, counters=counters, on_idle=self._on_idle
        )
        self._servers: list[asyncio.Server] = []
        self._stopped: Final = asyncio.Event()
        self._empty: Final = asyncio.Event()  # draining, and no connection is left
        self._observed_requests = -1
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    async def run(self) -> None:
        """Returns when told to stop; ends the process when the supervisor is gone."""
        self._counters.beat_ns = time.monotonic_ns()
        ticking = asyncio.create_task(self._tick())
        listening = asyncio.create_task(self._listen_to_control())
        await self._stopped.wait()
        for task in (ticking, listening):
            task.cancel()
        self._api.close()

    # -- control

    async def _listen_to_control(self) -> None:
        while True:
            message = await self._control.receive()
            if message is None:
                os._exit(0)  # the supervisor has ended: nobody would ever stop this process
            task = asyncio.create_task(self._obey(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _obey(self, message: JsonObject) -> None:
        op, answer = message.get("op"), {"reply": message.get("id")}
        try:
            result = await self._act(str(op), message)
        except LimosaError as error:
            await self._control.send({**answer, "error": error.as_json()})
            return
        await self._control.send({**answer, "result": result})
        if op == "stop":
            self._stopped.set()

    async def _act(self, op: str, message: JsonObject) -> JsonValue:
        if op == "accept":
            await self._accept()
            return {}
        if op == "drain":
            await self._drain()
            return {"connections": len(self._traffic.connections)}
        if op == "observe":
            return {model.slot.model: self._snapshot(model) for model in self._models}
        if op == "replay":
            return await self._replay(str(message.get("model")))
        if op == "tap":
            wanted = message.get("models")
            if self._tap is not None and isinstance(wanted, list):
                self._tap.open(self._models, [str(name) for name in wanted])
            return {}
        if op == "metrics":
            self._supervisor_metrics = str(message.get("text", ""))
            return {}
        if op == "stop":
            idle = message.get("idle_s")
            await self._wind_up(float(idle) if isinstance(idle, (int, float)) else 0.0)
            return {}
        raise LoadFailed(f"control operation {op!r} is unknown")

    async def _accept(self) -> None:
        set_oom_score(SERVING_OOM_SCORE)
        self._traffic.draining = False
        self._empty.clear()
        if self._servers:
            return
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            own = listening.dup()  # closing it later leaves the supervisor's socket open
            own.setblocking(False)
            if own.family == socket.AF_UNIX:
                # From 3.13 on, closing would remove the path; the generations share it.
                keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
                create = partial(loop.create_unix_server, self._connection, sock=own, backlog=BACKLOG)
                server = await create(**keep)
            else:
                server = await loop.create_server(self._connection, sock=own, backlog=BACKLOG)
            self._servers.append(server)

    async def _drain(self) -> None:
        """Accepts nothing more; what is open gets its next answer with `Connection: close`."""
        set_oom_score(STANDBY_OOM_SCORE)
        self._traffic.draining = True
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        await self._send_observations()
        if not self._traffic.connections:
            self._on_idle()

    async def _wind_up(self, idle_s: float) -> None:
        await self._drain()
        await self._until_idle(idle_s)
        self._traffic.close_idle()
        await self._until_idle(self._limits.stop_grace_s)
        await self._send_observations()

    async def _until_idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    def _on_idle(self) -> None:
        self._empty.set()
        self._tell({"idle": True})

    def _connection(self) -> HttpConnection:
        return HttpConnection(self._traffic, time.monotonic)

    # -- observations

    async def _tick(self) -> None:
        observed_at = time.monotonic()
        while True:
            await asyncio.sleep(min(self._limits.observe_every_s, TICK_S))
            now = time.monotonic()
            if self._api.longest_run_s(now) < self._limits.run_max_s:
                self._counters.beat_ns = time.monotonic_ns()  # else: a model that does not end is a hang
            self._traffic.tick(now)
            if now - observed_at >= self._limits.observe_every_s:
                observed_at = now
                if sum(model.observations.seen for model in self._models) != self._observed_requests:
                    await self._send_observations()

    async def _send_observations(self) -> None:
        self._observed_requests = sum(model.observations.seen for model in self._models)
        for model in self._models:
            await self._control.send(
                {
                    "observation": self._snapshot(model),
                    "model": model.slot.model,
                    "manifest_sha256": model.slot.manifest_sha256,
                }
            )

    def _snapshot(self, model: LoadedModel) -> dict[str, JsonValue]:
        return {**model.observations.snapshot(), "rss_bytes": rss_bytes(), "cpu_s": time.process_time()}

    def _metrics_text(self) -> str:
        counts = [
            ModelCounts(model=one.slot.model, version=one.slot.version, snapshot=one.observations.snapshot())
            for one in self._models
        ]
        own = serving_metrics(
            counts,
            in_flight=self._counters.in_flight,
            connections=self._counters.connections,
            resident_bytes=rss_bytes(),
        )
        return self._supervisor_metrics + render(own)

    async def _replay(self, name: str) -> JsonValue:
        for i, model in enumerate(self._models):
            if model.slot.model == name:
                self._counters.running = i + 1
                replay = await asyncio.to_thread(model.replay)
                self._counters.running = 0
                model.observations.replayed += replay.n
                return {
                    "n": replay.n,
                    "failed": replay.failed,
                    "p95_us": replay.p95_us,
                    "max_abs_error": min(replay.max_abs_error, 1e300),
                }
        raise LoadFailed(f"model {name!r} is not loaded here")

    def _tell(self, message: JsonObject) -> None:
        task = asyncio.get_running_loop().create_task(self._control.send(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _serve(arguments: argparse.Namespace) -> int:
    control = await ControlLine.open(socket.socket(fileno=arguments.control))
    counters = SharedCounters(arguments.counters)
    message = await control.receive()
    if message is None:
        return 1
    limits = ServingLimits.parse(message["limits"])
    options = RuntimeOptions.parse(message["runtime"])
    try:
        models = load_all(message["models"], counters=counters, limits=limits, options=options)
    except LimosaError as error:
        await control.send({"error": error.as_json()})
        return 1
    for model in models:
        remember_beside(model)
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not look at it again
    worker = Worker(
        sockets=[socket.socket(fileno=fd) for fd in arguments.listen],
        control=control,
        counters=counters,
        limits=limits,
        models=models,
        tap=_tap(arguments, limits),
    )
    await control.send(
        {
            "ready": True,
            "run_us": {model.slot.model: model.run_us for model in models},
            "want_graphs": [i for i, model in enumerate(models) if model.wants_graph],
        }
    )
    await worker.run()
    return 0


def _tap(arguments: argparse.Namespace, limits: ServingLimits) -> ShadowTap | None:
    if arguments.tap < 0:
        return None
    end = socket.socket(fileno=arguments.tap)
    return ShadowTap(end, generation=arguments.generation, copy_max_bytes=limits.body_max_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="limosa-agent serving worker")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--counters", type=int, required=True)
    parser.add_argument("--listen", type=int, action="append", default=[])
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--generation", type=int, default=0)
    parser.add_argument("--tap", type=int, default=-1)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # writing a core would delay the put-back
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor decides; its end is this process's end
    logging.basicConfig(level=logging.WARNING, format="serving: %(message)s")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        status = runner.run(_serve(arguments))
    logging.shutdown()
    os._exit(status)  # a thread that hangs in a runtime must not keep the process


if __name__ == "__main__":
    main()
