"""The shadow worker: challengers answer copies of what the active versions were asked (agent 1).

Its answers go to nobody. It runs one copy after the other; what comes faster than it can run is dropped
where it was made. It may take less processor time than others, is the first to go when memory is short,
and ends with its supervisor.
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
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from limosa_agent.resident import rss_bytes
from limosa_agent.serving.agreement import Agreement
from limosa_agent.serving.control_line import ControlLine
from limosa_agent.serving.errors import CopyBroken
from limosa_agent.serving.limited_child import SHADOW_OOM_SCORE, die_with_parent, set_oom_score
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.loaded_model import LoadedModel, load_all
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.shadow_copy import Copy
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_contracts.errors import FaultError, LimosaError, RequestError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.shadow import ShadowSketch

log = logging.getLogger(__name__)

NICE: Final = 10
TICK_S: Final = 0.25
MESSAGE_MAX_BYTES: Final = 1 << 20
TOLD_MAX: Final = 5  # broken copies that are logged


class Challenger:
    """One model in the shadow, and how its answers compare."""

    def __init__(self, loaded: LoadedModel, number: int) -> None:
        self.loaded: Final = loaded
        self.number: Final = number
        self._agreement: Final = Agreement(loaded.serving)
        self._compared = 0
        self._disagreed = 0
        self._sketch: ShadowSketch | None = None
        self._against = ""
        self._dropped: Final[dict[int, int]] = {}  # generation -> requests it gave no copy of

    def take(self, copy: Copy) -> None:
        """Runs it; whatever comes of it is counted. Nothing is raised for what the model does."""
        seen = self.loaded.observations
        self._dropped[copy.generation] = copy.dropped
        began = time.perf_counter_ns()
        try:
            rows = self.loaded.check(copy.inputs)
            outputs = self.loaded.run(copy.inputs)
        except RequestError as error:
            seen.refuse(error.code)
            return
        except FaultError as error:
            seen.fail(error.code)
            return
        seen.add(copy.inputs, outputs, rows, time.perf_counter_ns() - began)
        found = self._agreement.compare(copy.outputs, outputs, rows=rows)
        self._compared += found.rows
        self._disagreed += found.disagreed
        if found.sketch is not None:
            self._sketch = found.sketch if self._sketch is None else self._sketch.plus(found.sketch)
        self._against = copy.active

    def snapshot(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {} if self._sketch is None else {"shadow": self._sketch.as_json()}
        return {
            **self.loaded.observations.snapshot(),
            **said,
            "rss_bytes": rss_bytes(),
            "cpu_s": time.process_time(),
            "shadow_compared": self._compared,
            "shadow_disagreed": self._disagreed,
            "shadow_dropped": sum(self._dropped.values()),
            "shadow_against": self._against,
        }


class ShadowWorker:
    def __init__(
        self,
        *,
        tap: socket.socket,
        control: ControlLine,
        counters: SharedCounters,
        limits: ServingLimits,
        models: Sequence[LoadedModel],
    ) -> None:
        self._tap: Final = tap
        self._control: Final = control
        self._counters: Final = counters
        self._limits: Final = limits
        self._challengers: Final = [Challenger(model, i + 1) for i, model in enumerate(models)]
        self._seen = -1
        self._broken = 0
        self._stopped: Final = asyncio.Event()

    async def run(self) -> None:
        self._counters.beat_ns = time.monotonic_ns()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._tap, self._read)
        tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._listen())]
        await self._stopped.wait()
        loop.remove_reader(self._tap)
        for task in tasks:
            task.cancel()

    async def _listen(self) -> None:
        while (message := await self._control.receive()) is not None:
            if message.get("op") == "stop":
                await self._send_observations()
                await self._control.send({"reply": message.get("id"), "result": {}})
                self._stopped.set()
                return
            said: dict[str, JsonValue] = {}
            if message.get("op") == "observe":
                said = {item.loaded.slot.manifest_sha256: item.snapshot() for item in self._challengers}
            await self._control.send({"reply": message.get("id"), "result": said})
        os._exit(0)  # the supervisor has ended

    def _read(self) -> None:
        """One copy per turn of the loop."""
        try:
            message = receive_copy(self._tap, max_bytes=self._limits.body_max_bytes * 2)
            copy = Copy.parse(message) if message is not None else None
        except (CopyBroken, OSError) as error:
            self._broken += 1
            if self._broken <= TOLD_MAX:
                log.warning("a copy is left out: %s", error)
            return
        if copy is None:
            return
        for challenger in self._challengers:
            if challenger.loaded.slot.model == copy.model:
                self._counters.running = challenger.number
                challenger.take(copy)
                self._counters.running = 0

    async def _tick(self) -> None:
        observed_at = time.monotonic()
        while True:
            await asyncio.sleep(min(self._limits.observe_every_s, TICK_S))
            self._counters.beat_ns = time.monotonic_ns()
            now = time.monotonic()
            if now - observed_at < self._limits.observe_every_s:
                continue
            observed_at = now
            seen = sum(item.loaded.observations.seen for item in self._challengers)
            if seen != self._seen:
                self._seen = seen
                await self._send_observations()

    async def _send_observations(self) -> None:
        for item in self._challengers:
            await self._control.send(
                {
                    "observation": item.snapshot(),
                    "model": item.loaded.slot.model,
                    "manifest_sha256": item.loaded.slot.manifest_sha256,
                }
            )


def receive_copy(end: socket.socket, *, max_bytes: int) -> bytes | None:
    """The next message; None if there is none. Raises CopyBroken, OSError."""
    size = struct.calcsize("i")
    try:
        data, rights, flags, _ = end.recvmsg(MESSAGE_MAX_BYTES, socket.CMSG_SPACE(size), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    descriptors = [
        struct.unpack("i", value[:size])[0] for _, kind, value in rights if kind == socket.SCM_RIGHTS
    ]
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise CopyBroken("a copy is larger than any may be")
        if not descriptors:
            return data
        return _read_file(descriptors[0], max_bytes)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read_file(descriptor: int, max_bytes: int) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > max_bytes:
        raise CopyBroken("a copy is larger than any may be", why=f"{size} bytes")
    return os.pread(descriptor, size, 0)


def discard_waiting(end: socket.socket) -> int:
    """How many copies were thrown away: they were made for another set."""
    count = 0
    while True:
        try:
            if receive_copy(end, max_bytes=0) is None:
                return count
        except (CopyBroken, OSError):
            pass
        count += 1


async def _serve(arguments: argparse.Namespace) -> int:
    control = await ControlLine.open(socket.socket(fileno=arguments.control))
    counters = SharedCounters(arguments.counters)
    message = await control.receive()
    if message is None:
        return 1
    limits = ServingLimits.parse(message["limits"])
    options = RuntimeOptions.parse(message["runtime"])
    _limit_memory(limits.shadow_memory_max_bytes)
    try:
        models = load_all(message["models"], counters=counters, limits=limits, options=options)
    except LimosaError as error:
        await control.send({"error": error.as_json()})
        return 1
    except MemoryError:
        text = f"needs more than {limits.shadow_memory_max_bytes} bytes of memory"
        await control.send({"error": {"what": text, "where": "shadow", "why": ""}})
        return 1
    gc.collect()
    gc.freeze()
    tap = socket.socket(fileno=arguments.tap)
    discard_waiting(tap)
    worker = ShadowWorker(tap=tap, control=control, counters=counters, limits=limits, models=models)
    await control.send({"ready": True})
    await worker.run()
    return 0


def _limit_memory(max_bytes: int) -> None:
    """Private memory, not address space: runtimes map far more than they use."""
    _, ceiling = resource.getrlimit(resource.RLIMIT_DATA)
    limit = max_bytes if ceiling == resource.RLIM_INFINITY else min(max_bytes, ceiling)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    parser = argparse.ArgumentParser(prog="limosa-agent shadow worker")
    for name in ("control", "counters", "parent", "tap", "generation"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_oom_score(SHADOW_OOM_SCORE)
    with suppress(OSError):
        os.nice(NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="shadow: %(message)s")
    status = asyncio.run(_serve(arguments))
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    main()
