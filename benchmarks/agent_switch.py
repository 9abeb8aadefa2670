"""Switches and fall backs under load: `python benchmarks/agent_switch.py [--json] [--quick]`.

1. 50 switches under continuous load: failed requests, and the 99th percentile of requests on their way
   during a switch against that of the others in the same run (agent 1).
2. 20 fall backs, warm: a release that crashes on a request, answers NaN, is slow, or whose golden
   vectors do not hold, five times each, found by the agent's own checks. The time is from the failure
   (the request that crashes; the verdict of the checks) to the first answer of the previous version.
3. The same without a warm standby: the previous version is started again.

4 clients ask again 2 ms after each answer (1, 2 and 3); beside it one row with no pause, which no bar
judges: there the load takes the whole machine, and so does loading a model.
Exit code 0; a bar that is missed is printed as MISS.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np
from onnx import helper

from benchmarks.bars import Bar, finish, print_table
from benchmarks.switch_load import LISTENS, Requests, ask, message, version_number
from limosa_agent.health.facts import Failed, Observed, Replay
from limosa_agent.health.probation import Probation, observed
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import Observation, PoolEvent, ServingPool, SlotRef, WorkerCrashed
from limosa_agent.telemetry.windows import Snapshot
from limosa_contracts.desired import Trial
from tests.agent.serving.releases import (
    TINY,
    Plan,
    crash_plan,
    install,
    make_plan,
    slow_plan,
    spoil_golden,
    tiny_plan,
)

VALUE: Final = 0.5  # what the load asks: the root below is of a negative number then
CLIENTS: Final = 4
PAUSE_MS: Final = 2.0
SETTLE_S: Final = 0.25  # between two switches; the end of a switch is over by then
AFTER_NS: Final = 50_000_000  # so long after a switch counts to it
FOUND_MAX_S: Final = 60.0
LONG: Final = Trial(inferences=1000, seconds=3600.0)  # longer than it takes to find what is wrong
GOOD: Final = "1.0.0"
KINDS: Final = ("crash", "nan", "slow", "golden mismatch")


@dataclass
class Report:
    rows: list[dict[str, object]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def row(self, name: str, value: float, unit: str) -> None:
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit})

    def bar(self, name: str, value: float, limit: float) -> None:
        self.bars.append(Bar(name=name, limit=limit, value=round(value, 3)))


class Pool:
    """A real pool, the snapshots of its workers, and the agent's own verdict on them."""

    def __init__(self, pool: ServingPool, port: int, events: asyncio.Queue[PoolEvent]) -> None:
        self.pool: Final = pool
        self.port: Final = port
        self._events: Final = events
        self._latest: Final[dict[str, Observed]] = {}

    async def until_observed(self, slot: SlotRef, least: int) -> Observed:
        """What `slot` did, once it has answered `least` requests."""
        async with asyncio.timeout(FOUND_MAX_S):
            while True:
                seen = self._latest.get(slot.manifest_sha256)
                if seen is not None and seen.n >= least:
                    return seen
                self._note(await self._events.get())

    async def until_crashed(self) -> WorkerCrashed:
        async with asyncio.timeout(FOUND_MAX_S):
            while True:
                event = await self._events.get()
                self._note(event)
                if isinstance(event, WorkerCrashed):
                    return event

    async def until_judged(self, slot: SlotRef, previous: Observed) -> str:
        """The reason code of the verdict that ends its probation."""
        began = time.monotonic()
        probation = Probation(
            model=slot.model,
            manifest_sha256=slot.manifest_sha256,
            trial=LONG,
            began_s=began,
            previous=previous,
        )
        async with asyncio.timeout(FOUND_MAX_S):
            while True:
                seen = self._note(await self._events.get())
                if seen is None or seen.manifest_sha256 != slot.manifest_sha256:
                    continue
                probation.observe(seen, now_s=time.monotonic())
                verdict = probation.judge(now_s=time.monotonic(), link_up=True)
                if isinstance(verdict, Failed):
                    return verdict.reason.code

    async def replayed(self, slot: SlotRef, previous: Observed) -> str:
        told = await self.pool.replay_golden(slot.model)
        counts = {name: value for name, value in told.items() if isinstance(value, int)}
        probation = Probation(
            model=slot.model,
            manifest_sha256=slot.manifest_sha256,
            trial=LONG,
            began_s=time.monotonic(),
            previous=previous,
            replay=Replay(n=counts["n"], failed=counts["failed"]),
        )
        verdict = probation.judge(now_s=time.monotonic(), link_up=True)
        return verdict.reason.code if isinstance(verdict, Failed) else ""

    def _note(self, event: PoolEvent) -> Observed | None:
        if not isinstance(event, Observation):
            return None
        seen = observed(event.manifest_sha256, Snapshot.parse(event.snapshot), event.snapshot)
        self._latest[event.manifest_sha256] = seen
        return seen


@asynccontextmanager
async def serving(slot: SlotRef) -> AsyncIterator[Pool]:
    events: asyncio.Queue[PoolEvent] = asyncio.Queue()
    with socket.create_server((LISTENS, 0), backlog=512) as listening:
        pool = ServingPool(sockets=[listening], limits=ServingLimits(), on_event=events.put_nowait)
        await pool.start([slot])
        try:
            yield Pool(pool, listening.getsockname()[1], events)
        finally:
            await pool.stop()


class Load:
    """`switch_load.py` in a process of its own."""

    def __init__(self, port: int, path: Path, *, pause_ms: float = PAUSE_MS) -> None:
        script = Path(__file__).with_name("switch_load.py")
        words = [str(port), str(path), str(CLIENTS), str(pause_ms), str(VALUE)]
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, str(script), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self) -> Requests:
        self._process.communicate("end\n", timeout=30)
        return Requests.read(self._path)


# -- 1. switches


async def switches(report: Report, folder: Path, *, count: int, pause_ms: float, judged: bool) -> None:
    releases = [install(tiny_plan(version), folder) for version in (GOOD, "1.0.1")]
    spans: list[tuple[int, int]] = []
    async with serving(releases[0]) as under:
        load = Load(under.port, folder / "load", pause_ms=pause_ms)
        await asyncio.sleep(1.0)
        for number in range(count):
            began = time.monotonic_ns()
            await under.pool.switch([releases[(number + 1) % 2]], keep_standby=True)
            spans.append((began, time.monotonic_ns() + AFTER_NS))
            await asyncio.sleep(SETTLE_S)
            await under.pool.release_standby()
            await asyncio.sleep(SETTLE_S)
        seen = await asyncio.to_thread(load.end)
    during = np.zeros(seen.ended.size, bool)
    for begin, end in spans:
        during |= seen.within(begin, end)
    steady_ms, during_ms = (float(np.percentile(seen.spent_ms(rows), 99)) for rows in (~during, during))
    label = "" if judged else ", no pause between requests"
    took = median((end - AFTER_NS - begin) / 1e6 for begin, end in spans)
    report.row(f"{count} switches{label}: requests", seen.ended.size, "")
    report.row(f"{count} switches{label}: failed", seen.failed(), "")
    report.row(f"a switch{label}: start, load, warm-up, accept (median)", took, "ms")
    report.row(f"p99 steady{label}", steady_ms, "ms")
    report.row(f"p99 during a switch{label}", during_ms, "ms")
    report.bar(f"requests failed on {count} switches{label}", seen.failed(), 0)
    if judged:
        report.bar("p99 during a switch over p99 steady", during_ms / steady_ms, 3.0)


# -- 2. and 3. fall backs


@dataclass
class FallBack:
    kind: str
    failed_ns: int
    found_ms: float  # from the candidate's first accept to the verdict
    over_ns: int = 0


async def fall_backs(report: Report, folder: Path, *, rounds: int, warm: bool) -> None:
    good = install(tiny_plan(GOOD), folder)
    bad = {kind: install_bad(kind, folder) for kind in KINDS}
    done: list[FallBack] = []
    async with serving(good) as under:
        load = Load(under.port, folder / "load")
        previous = await under.until_observed(good, 100)
        for _ in range(rounds):
            for kind in KINDS:
                done.append(await one_fall_back(under, kind, bad[kind], previous, warm=warm))
                await asyncio.sleep(SETTLE_S)
        seen = await asyncio.to_thread(load.end)
    label = "warm" if warm else "cold"
    gone = np.zeros(seen.ended.size, bool)
    for kind in KINDS:
        mine = [one for one in done if one.kind == kind]
        times = [
            (seen.first_answer_ns(version_number(GOOD), one.failed_ns) - one.failed_ns) / 1e6 for one in mine
        ]
        report.row(f"{kind}, {label}: failure to previous answering (median)", median(times), "ms")
        report.row(f"{kind}, {label}: the same (worst)", max(times), "ms")
        if kind in ("nan", "slow"):
            report.row(f"{kind}, {label}: found after", median(one.found_ms for one in mine), "ms")
        report.bar(
            f"{kind}: failure to previous answering, {label}, median of {len(mine)}, ms",
            median(times),
            100.0 if warm else 1500.0,
        )
        if kind == "crash":
            for one in mine:
                accepted_ns = one.failed_ns - round(one.found_ms * 1e6)
                gone |= seen.within(accepted_ns, one.over_ns)  # its own model refuses what the load asks
    lost = int((seen.version[gone] == 0).sum())
    report.row(f"requests in {len(done)} fall backs, {label}", seen.ended.size, "")
    report.row(f"requests that crashes took with them, or their model refused, {label}", lost, "")
    report.bar(f"requests failed in fall backs without a crash, {label}", seen.failed() - lost, 0)


async def one_fall_back(under: Pool, kind: str, slot: SlotRef, previous: Observed, *, warm: bool) -> FallBack:
    await under.pool.switch([slot], keep_standby=warm)
    accepted_ns = time.monotonic_ns()
    if kind == "crash":
        await asyncio.sleep(SETTLE_S)  # else the one before, as it leaves, still answers what was open
        failed_ns = time.monotonic_ns()
        await _ask_fatally(under.port)
        crash = await under.until_crashed()
        if not crash.put_back:
            await under.pool.fall_back()
    else:
        judged = under.replayed if kind == "golden mismatch" else under.until_judged
        code = await judged(slot, previous)
        failed_ns = time.monotonic_ns()
        assert code == {"nan": "nan_outputs", "slow": "latency"}.get(kind, "golden_mismatch"), code
        await under.pool.fall_back()
    over_ns = time.monotonic_ns() + AFTER_NS
    return FallBack(kind, failed_ns, (failed_ns - accepted_ns) / 1e6, over_ns)


async def _ask_fatally(port: int) -> None:
    reader, writer = await asyncio.open_connection(LISTENS, port)
    try:
        await ask(reader, writer, message(-1.0))
    except (OSError, EOFError):
        pass
    else:
        raise AssertionError("the request that should have crashed was answered")
    finally:
        writer.close()


def install_bad(kind: str, folder: Path) -> SlotRef:
    if kind == "crash":
        return install(crash_plan("2.0.0"), folder)
    if kind == "nan":
        return install(root_plan("2.0.1"), folder)
    if kind == "slow":
        return install(slow_plan("2.0.2", size=1024, layers=600), folder)
    slot = install(tiny_plan("2.0.3"), folder)
    spoil_golden(slot, lambda expected: expected + np.float32(1))
    return slot


def root_plan(version: str) -> Plan:
    """y = sqrt(x - 0.75): NaN for what the load asks, a number for every golden vector."""
    nodes = [helper.make_node("Sub", ["x", "least"], ["d"]), helper.make_node("Sqrt", ["d"], ["y"])]
    return replace(make_plan(version, nodes, {"least": np.float32(0.75)}), model=TINY)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args(words)
    report = Report()
    count, rounds = (10, 1) if arguments.quick else (50, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(switches(report, folder / "paced", count=count, pause_ms=PAUSE_MS, judged=True))
        asyncio.run(switches(report, folder / "full", count=count, pause_ms=0.0, judged=False))
        asyncio.run(fall_backs(report, folder / "warm", rounds=rounds, warm=True))
        asyncio.run(fall_backs(report, folder / "cold", rounds=rounds, warm=False))
    print_table(report.rows)
    packages = ("limosa", "numpy", "onnxruntime", "uvloop", "httptools")
    return finish(report.rows, report.bars, as_json=arguments.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
