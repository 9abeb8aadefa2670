"""What the agent costs, and how fast it comes back: `python benchmarks/agent_overhead.py [--json] [--quick]`.

1. in-process `limosa_agent.Model` over bare `session.run`, step by step (agent 5.4, telemetry 1.1)
2. requests failed over 20 switches under load (agent 1)
3. time from a failed check, and from a crash, to the previous version answering (agent 1)

Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np
import onnxruntime

import limosa_agent
from benchmarks.bars import Bar, finish
from limosa_agent.serving.observations import Observations
from limosa_agent.serving.pool import PoolEvent, ServingLimits, ServingPool, SlotRef, WorkerCrashed
from limosa_agent.serving.schema_check import SchemaCheck
from limosa_agent.serving.tensor_codec import Array
from tests.agent.serving.releases import (
    TINY,
    Plan,
    baseline_of,
    crash_plan,
    install,
    make_current,
    mean_plan,
    motion_plan,
    tiny_plan,
)

MIB: Final = 1024 * 1024
SWITCHES: Final = 20
CONNECTIONS: Final = 16
LISTENS: Final = "127.0.0.1"


@dataclass
class Report:
    rows: list[dict[str, object]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def row(self, name: str, value: float, unit: str) -> None:
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit})
        sys.stderr.write(f"{name:<58} {value:>12.3f} {unit}\n")

    def bar(self, name: str, value: float, limit: float) -> None:
        self.bars.append(Bar(name=name, limit=limit, value=round(value, 3)))


# -- 1. in-process overhead


def in_process_overhead(report: Report, folder: Path, *, rounds: int) -> None:
    """Best of many interleaved rounds: other work on the machine only ever adds."""
    scalars = mean_plan(width=64)
    ranged = replace(scalars, inputs=tuple(replace(spec, low=-1e6, high=1e6) for spec in scalars.inputs))
    for label, plan in (
        ("64 scalars", scalars),
        ("64 scalars, range checked", ranged),
        ("motion", motion_plan("2.0.0")),
    ):
        slot = install(plan, folder / label)
        make_current(slot)
        model = limosa_agent.Model(plan.model, state_dir=folder / label)
        name = plan.inputs[0].name
        inputs = {name: np.ascontiguousarray(plan.golden[name][:1])}
        spent = _steps(model, plan, slot, inputs, rounds)
        bare = spent["bare session.run"]
        for step, us in spent.items():
            report.row(f"{label}: {step}", us, "µs")
        over = spent["limosa_agent.Model.run"] - bare
        report.row(f"{label}: limosa_agent.Model.run over bare", over, "µs")
        report.row(f"{label}: the same", 100 * over / bare, "%")
        if label == "64 scalars":
            report.bar("input check, µs", spent["check"], 1.0)  # agent 5.4
            report.bar("ring of 64 scalars, flush included, µs", spent["ring"], 1.0)  # telemetry 1.1
            report.bar("limosa_agent.Model.run over bare session.run, µs", over, 2.0)  # agent 5.4


def _steps(
    model: limosa_agent.Model, plan: Plan, slot: SlotRef, inputs: Mapping[str, Array], rounds: int
) -> dict[str, float]:
    content = (Path(slot.directory) / model.serving.model_file).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in model.serving.outputs]
    outputs = model.run(inputs)
    check = SchemaCheck(model.serving, rows_max=1024)
    seen = Observations(
        model.serving,
        baseline_of(plan),
        manifest_sha256=slot.manifest_sha256,
        ring_rows=64,
        ring_max_bytes=MIB,
    )
    steps: dict[str, Callable[[], object]] = {
        "bare session.run": lambda: session.run(names, inputs),
        "check": lambda: check(inputs),
        "ring": lambda: seen.add(inputs, outputs, 1, 1000),
        "limosa_agent.Model.run": lambda: model.run(inputs),
        "(an empty call)": lambda: None,
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for step, call in steps.items():
            best[step] = min(best[step], _time_us(call))
    empty = best.pop("(an empty call)")
    return {step: us - empty for step, us in best.items()}


def _time_us(call: Callable[[], object], times: int = 128) -> float:
    """Mean of `times` calls: two rings full, so every round holds its whole flushes, and is over
    before the scheduler thinks of another process."""
    began = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - began) / times / 1000


# -- 2. and 3. switches, failed checks, crashes


class Load:
    """Keep-alive clients in a process of their own; counts answers and failures."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, __file__, "--load", str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self) -> dict[str, int]:
        said, _ = self._process.communicate("end\n", timeout=30)
        result: dict[str, int] = json.loads(said)
        return result


async def load(port: int) -> None:
    """The child: asks until its stdin says otherwise, then prints what it saw."""
    seen: Counter[str] = Counter()
    ended = asyncio.Event()
    clients = [asyncio.create_task(_client(port, seen, ended)) for _ in range(CONNECTIONS)]
    await asyncio.to_thread(sys.stdin.readline)
    ended.set()
    await asyncio.gather(*clients)
    sys.stdout.write(json.dumps(seen) + "\n")


async def _client(port: int, seen: Counter[str], ended: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(LISTENS, port)
    while not ended.is_set():
        try:
            status, closes, _ = await _ask(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            status, closes = 0, True
        seen["answered" if status == 200 else "failed"] += 1
        if closes:
            writer.close()
            reader, writer = await asyncio.open_connection(LISTENS, port)
    writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, value: float = 1.0
) -> tuple[int, bool, str]:
    """(status, whether the server closes, version that answered)."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value] * 3}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST /v2/models/{TINY}/infer HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    answer = json.loads(await reader.readexactly(length))
    return int(lines[0].split()[1]), "connection: close" in lines, str(answer.get("model_version"))


async def _ask_once(port: int, value: float = 1.0) -> str:
    """The version that answers a fresh connection; "" if none does."""
    try:
        reader, writer = await asyncio.open_connection(LISTENS, port)
        try:
            _, _, answered = await _ask(reader, writer, value)
        finally:
            writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return ""
    return answered


async def switches(report: Report, folder: Path) -> None:
    releases = [install(tiny_plan(f"1.0.{i}"), folder) for i in range(2)]
    listening, pool, _ = await _pool(releases[0])
    with listening:
        running = Load(listening.getsockname()[1])
        spent: list[float] = []
        for i in range(SWITCHES):
            began = time.perf_counter()
            await pool.switch([releases[(i + 1) % 2]], keep_standby=True)
            spent.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.2)
            await pool.release_standby()
        seen = await asyncio.to_thread(running.end)
        await pool.stop()
    report.row(f"requests answered over {SWITCHES} switches", seen.get("answered", 0), "")
    report.row(f"requests failed over {SWITCHES} switches", seen.get("failed", 0), "")
    report.row("a switch under load: start, load, warm-up, accept (median)", median(spent), "ms")
    report.bar(f"requests failed of {sum(seen.values())} over {SWITCHES} switches", seen.get("failed", 0), 0)


async def way_back(report: Report, folder: Path, *, rounds: int) -> None:
    good, bad = install(tiny_plan("1.0.0"), folder), install(crash_plan("2.0.0"), folder)
    checks: list[float] = []
    crashes: list[float] = []
    put_back: list[float] = []
    for _ in range(rounds):
        listening, pool, events = await _pool(good)
        with listening:
            port = listening.getsockname()[1]
            await pool.switch([bad], keep_standby=True)
            checks.append(await _until_answered(port, pool.fall_back()))
            await pool.switch([bad], keep_standby=True)
            crashes.append(await _until_answered(port, _ask_once(port, -1.0)))
            crash = await _next_crash(events)
            put_back.append(crash.back_after_s * 1000)
            await pool.stop()
    for name, values in (("failed check", checks), ("crash", crashes)):
        report.row(f"{name} to the previous version answering (median)", median(values), "ms")
        report.row(f"{name} to the previous version answering (worst)", max(values), "ms")
        report.bar(f"{name} to the previous version answering, warm, worst of {rounds}, ms", max(values), 100)
    report.row("of which: end of the worker noticed to standby accepts (median)", median(put_back), "ms")


async def _until_answered(port: int, failure: Awaitable[object]) -> float:
    """Milliseconds from the failure's beginning until version 1.0.0 answers a new connection."""
    began = time.perf_counter()
    failing = asyncio.ensure_future(failure)
    await asyncio.sleep(0)
    while await _ask_once(port) != "1.0.0":
        pass
    spent = (time.perf_counter() - began) * 1000
    await failing
    return spent


async def _next_crash(events: asyncio.Queue[PoolEvent]) -> WorkerCrashed:
    while True:
        event = await events.get()
        if isinstance(event, WorkerCrashed):
            return event


async def _pool(slot: SlotRef) -> tuple[socket.socket, ServingPool, asyncio.Queue[PoolEvent]]:
    events: asyncio.Queue[PoolEvent] = asyncio.Queue()
    listening = socket.create_server((LISTENS, 0), backlog=512)
    pool = ServingPool(sockets=[listening], limits=ServingLimits(), on_event=events.put_nowait)
    await pool.start([slot])
    return listening, pool, events


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.load:
        asyncio.run(load(arguments.load))
        return 0
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_process_overhead(report, folder, rounds=100 if arguments.quick else 600)
        asyncio.run(switches(report, folder / "switches"))
        asyncio.run(way_back(report, folder / "back", rounds=3 if arguments.quick else 10))
    packages = ("limosa", "numpy", "onnxruntime", "uvloop", "httptools", "paho-mqtt", "cryptography")
    return finish(report.rows, report.bars, as_json=arguments.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
