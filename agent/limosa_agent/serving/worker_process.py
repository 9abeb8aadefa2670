"""The supervisor's end of one serving worker: starting it, asking it, noticing its end."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from limosa_agent.serving.control_line import ControlLine
from limosa_agent.serving.errors import LoadFailed, WorkerGone
from limosa_agent.serving.limited_child import child_environment, module_command, signal_name
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.processor_time import first_thread_s
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_agent.serving.slot_ref import SlotRef, WorkerCrashed
from limosa_contracts.json_value import JsonObject, JsonValue

MODULE: Final = "limosa_agent.serving.start_worker"
ASK_MAX_S: Final = 10.0
KILL_WAIT_S: Final = 5.0


class WorkerProcess:
    """One generation. `on_gone` is called once, the moment its control line ends."""

    def __init__(
        self,
        *,
        generation: int,
        models: Sequence[SlotRef],
        limits: ServingLimits,
        on_gone: Callable[[WorkerProcess], None],
        on_observation: Callable[[WorkerProcess, JsonObject], None],
        options: RuntimeOptions | None = None,
        module: str = MODULE,
        tap: int = -1,
    ) -> None:
        """`tap`: this worker's end of the way of copies to the shadow worker."""
        self.generation: Final = generation
        self.models: Final = tuple(models)
        self.ready = False
        self.leaving = False  # it was told to end: its end is no crash
        self.hung = False
        self.idle: Final = asyncio.Event()
        self._limits: Final = limits
        self._options: Final = options or RuntimeOptions()
        self.want_graphs: tuple[SlotRef, ...] = ()  # models that an optimised graph would load faster
        self._module: Final = module
        self._tap: Final = tap
        self._on_gone: Final = on_gone
        self._on_observation: Final = on_observation
        self._replies: Final[dict[int, asyncio.Future[JsonValue]]] = {}
        self._asked = 0
        self._lost = 0
        self._running = 0
        self._gone = False
        self._ready_ns = 0  # when it had loaded; its loop turns some time later
        self._beat_ns = 0  # when `busy_for_s` saw its loop turn last
        self._busy_before_s = 0.0  # processor time it had had by then
        self._process: asyncio.subprocess.Process
        self._control: ControlLine
        self._counters: SharedCounters
        self._listening: asyncio.Task[None]

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Returns when all models are loaded and warm. Raises LoadFailed; the process is gone then."""
        ours, theirs = socket.socketpair()
        counters = SharedCounters.create_fd()
        listening = [listens.fileno() for listens in sockets]
        passed = [theirs.fileno(), counters, *listening, *([self._tap] if self._tap >= 0 else [])]
        arguments = [f"--control={theirs.fileno()}", f"--counters={counters}", f"--parent={os.getpid()}"]
        arguments += [f"--generation={self.generation}", f"--tap={self._tap}"]
        arguments += [f"--listen={number}" for number in listening]
        try:
            self._counters = SharedCounters(counters)
            self._process = await asyncio.create_subprocess_exec(
                *module_command(self._module, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=passed,
                env=child_environment(),
            )
        except OSError as error:
            ours.close()
            raise LoadFailed("no worker can be started", where=self._names(), why=str(error)) from error
        finally:
            theirs.close()
            os.close(counters)
        self._control = await ControlLine.open(ours)
        try:
            await self._load()
        except BaseException:
            self.leaving = True
            await self.kill()
            raise
        self._ready_ns = self._beat_ns = time.monotonic_ns()
        self._busy_before_s = first_thread_s(self.pid)
        self.ready = True
        self._listening = asyncio.create_task(self._listen())

    async def ask(self, op: str, *, timeout_s: float = ASK_MAX_S, **arguments: JsonValue) -> JsonValue:
        """The worker's answer. Raises WorkerGone if it ends first, refuses, or takes too long."""
        number, reply = self._post(op, arguments)
        try:
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError as error:
            raise WorkerGone(f"no answer to {op!r} within {timeout_s:g} s", where=self.name) from error
        finally:
            self._replies.pop(number, None)

    @property
    def name(self) -> str:
        return f"generation {self.generation}"

    @property
    def alive(self) -> bool:
        return self.ready and not self._gone

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int:
        """Valid once `ended` has returned."""
        code = self._process.returncode
        return 0 if code is None else code

    @property
    def signal_name(self) -> str:
        return signal_name(self.returncode)

    @property
    def requests_lost(self) -> int:
        """After its end: requests it had begun."""
        return self._lost

    @property
    def running_model(self) -> str:
        """After its end: the model whose inference it was in, or was loading; "" if in none."""
        slot = self.running_slot
        return slot.model if slot is not None else ""

    @property
    def running_slot(self) -> SlotRef | None:
        """The same with its digest."""
        return self.models[self._running - 1] if 0 < self._running <= len(self.models) else None

    def silent_for_s(self) -> float:
        """Since its loop last turned, or since it was ready where it has not turned yet."""
        return (time.monotonic_ns() - self._turned_ns()) / 1e9 if self.alive else 0.0

    def busy_for_s(self) -> float:
        """Processor time that its loop's thread had since its loop last turned, as far as it was asked for:
        a thread that waits for its turn on a busy machine, or stands still, has none."""
        if not self.alive:
            return 0.0
        beat_ns, busy_s = self._turned_ns(), first_thread_s(self.pid)
        if beat_ns != self._beat_ns:
            self._beat_ns, self._busy_before_s = beat_ns, busy_s
        return busy_s - self._busy_before_s

    def _turned_ns(self) -> int:
        return max(self._counters.beat_ns, self._ready_ns)

    async def stop(self, *, idle_s: float) -> None:
        """Asks it to finish what it has begun and to end; waits for that, or kills it."""
        self.leaving = True
        with suppress(WorkerGone):
            await self.ask("stop", timeout_s=idle_s + self._limits.stop_grace_s + KILL_WAIT_S, idle_s=idle_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(KILL_WAIT_S):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL unless it has ended; returns when it is reaped."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self.ended()

    async def ended(self) -> None:
        await self._process.wait()
        if self.ready:
            await asyncio.wait([self._listening])
        self._control.close()
        self._counters.close()

    async def _load(self) -> None:
        models: list[JsonValue] = [slot.as_json() for slot in self.models]
        self._control.post(
            {"models": models, "limits": self._limits.as_json(), "runtime": self._options.as_json()}
        )
        try:
            async with asyncio.timeout(self._limits.load_max_s):
                message = await self._control.receive()
        except TimeoutError as error:
            raise LoadFailed(
                f"not ready after {self._limits.load_max_s:g} s",
                where=self._names(),
                evidence={"exit": "slow"},
            ) from error
        if message is None:
            await self._process.wait()
            self._running = self._counters.running
            how = self.signal_name or f"exit {self.returncode}"
            raise LoadFailed(
                "the worker ended while it loaded",
                where=self.running_model or self._names(),
                why=how,
                evidence={"exit": how},
            )
        error_said = message.get("error")
        if isinstance(error_said, Mapping):
            raise LoadFailed(
                str(error_said.get("what")),
                where=str(error_said.get("where")),
                why=str(error_said.get("why")),
            )
        wanted = message.get("want_graphs")
        if isinstance(wanted, list):
            self.want_graphs = tuple(self.models[i] for i in wanted if isinstance(i, int))

    async def _listen(self) -> None:
        while (message := await self._control.receive()) is not None:
            number = message.get("reply")
            if isinstance(number, int):
                self._take_reply(number, message)
            elif message.get("idle"):
                self.idle.set()
            elif isinstance(message.get("observation"), Mapping):
                self._on_observation(self, message)
        self._gone = True
        self._lost, self._running = self._counters.in_flight, self._counters.running
        self.idle.set()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(WorkerGone("the worker has ended", where=self.name))
        self._on_gone(self)

    def _take_reply(self, number: int, message: JsonObject) -> None:
        reply = self._replies.get(number)
        if reply is None or reply.done():
            return  # whoever asked has stopped waiting
        error = message.get("error")
        if isinstance(error, Mapping):
            reply.set_exception(
                WorkerGone(str(error.get("what")), where=self.name, why=str(error.get("why")))
            )
        else:
            reply.set_result(message.get("result"))

    def _post(self, op: str, arguments: Mapping[str, JsonValue]) -> tuple[int, asyncio.Future[JsonValue]]:
        self._asked += 1
        reply: asyncio.Future[JsonValue] = asyncio.get_running_loop().create_future()
        if not self.alive:
            reply.set_exception(WorkerGone("the worker has ended", where=self.name))
        self._replies[self._asked] = reply
        self._control.post({**arguments, "op": op, "id": self._asked})
        return self._asked, reply

    def _names(self) -> str:
        return ", ".join(f"{slot.model}@{slot.version}" for slot in self.models)


def crash_of(worker: WorkerProcess, *, put_back: bool, back_after_s: float = 0.0) -> WorkerCrashed:
    return WorkerCrashed(
        generation=worker.generation,
        models=worker.models,
        returncode=worker.returncode,
        signal_name=worker.signal_name,
        requests_lost=worker.requests_lost,
        put_back=put_back,
        running=worker.running_model,
        hung=worker.hung,
        back_after_s=back_after_s,
    )


def failed_start(generation: int, models: tuple[SlotRef, ...]) -> WorkerCrashed:
    return WorkerCrashed(
        generation=generation, models=models, returncode=1, signal_name="", requests_lost=0, put_back=False
    )
