"""Ours over HTTP beside five model servers: `python benchmarks/agent_http.py [--yes] [--quick] [--json]`.

MLServer, KServe's Python server, LitServe, BentoML and FastAPI with a JSON endpoint, each in one server
process, with the same onnxruntime, session options and number of model threads. A fast model runs on
their event loop, a slower one in a pool of that many threads, as ours decides it by itself; that was the
faster way for each of them. "On one thread" means that the model runs on the event loop, in ours too; that
is how MLServer's and KServe's own runtimes do it (LitServe still has its API and its worker process).
Ours runs with everything on: schema and range checks, sketches, limits,
counters, reports to its supervisor.

Clients, the same for all: wrk with one fixed JSON body (each peer's own form of it), and the stock
`tritonclient[http]` with binary tensors and a unique request id each time, for those that take them.
Rounds are interleaved; a figure is the median of its rounds.

The peers lie in `limosa/peers` under XDG_CACHE_HOME; without `--yes` nothing is installed. Needs wrk.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

import numpy as np
import onnxruntime

from benchmarks.bars import Bar, finish, print_table
from benchmarks.serving_peers.environments import PEERS, PeersMissing, prepare
from benchmarks.serving_peers.loads import Measured, WrkMissing, triton, wrk
from benchmarks.serving_peers.models import BenchModel, bench_models
from benchmarks.serving_peers.servers import OURS, Server, start_ours, start_peer

CONNECTIONS: Final = (1, 16)
THREADS: Final = 2
TRITON_TINY_16: Final = 31_950  # Triton with its native ONNX backend, 2 cores: measured once, elsewhere
FLOORS: Final = {
    ("tiny", 2, 1): {"MLServer": 3.0, "KServe": 3.0, "FastAPI": 2.0},
    ("tiny", 2, 16): {"MLServer": 5.0, "KServe": 5.0, "FastAPI": 3.5},
    ("small", 1, 16): {"MLServer": 1.5, "KServe": 3.0},
}
"""(model, threads, connections) -> least ratio of requests per second, with wrk."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """One line of the table."""

    client: str
    model: str
    threads: int
    connections: int

    def __str__(self) -> str:
        return f"{self.client}, {self.model}, {self.threads} threads, {self.connections} connections"


@dataclass(slots=True)
class Figures:
    """Of every row and server, one per round."""

    rounds: dict[tuple[Row, str], list[Measured]] = field(default_factory=lambda: defaultdict(list))
    bare_us: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def rows(self) -> list[Row]:
        return sorted({row for row, _ in self.rounds})

    def servers(self, row: Row) -> list[str]:
        return [name for at, name in self.rounds if at == row]

    def of(self, row: Row, server: str) -> Measured:
        rounds = self.rounds[row, server]
        return Measured(
            rate=median(one.rate for one in rounds),
            p50_us=median(one.p50_us for one in rounds),
            p99_us=median(one.p99_us for one in rounds),
            failed=sum(one.failed for one in rounds),
        )


def measure(
    figures: Figures, model: BenchModel, *, threads: int, rounds: int, seconds: float, folder: Path
) -> None:
    """All servers stand at once, idle but the one that is asked."""
    begun = time.monotonic()
    with ExitStack() as running:
        servers = _started(model, threads, folder, running)
        session = onnxruntime.InferenceSession(
            model.onnx_bytes, _one_thread(), providers=["CPUExecutionProvider"]
        )
        expected = session.run(["y"], {"x": model.row})[0]
        for server in servers:
            server.wait_until_right(expected)
        for _ in range(rounds):
            figures.bare_us[model.name].append(_bare_us(session, model))
            for connections in CONNECTIONS:
                _round(figures, model, servers, threads=threads, connections=connections, seconds=seconds)
    sys.stderr.write(f"{model.name}, {threads} threads: {time.monotonic() - begun:.0f} s\n")


def _started(model: BenchModel, threads: int, folder: Path, running: ExitStack) -> list[Server]:
    folders = {name: folder / name for name in (OURS, *(peer.name for peer in PEERS))}
    for one in folders.values():
        one.mkdir(parents=True)
    servers = [running.enter_context(start_ours(model, threads, folders[OURS]))]
    peers = (start_peer(peer, model, threads, folders[peer.name]) for peer in PEERS)
    return [*servers, *(running.enter_context(peer) for peer in peers)]


def _round(
    figures: Figures,
    model: BenchModel,
    servers: Sequence[Server],
    *,
    threads: int,
    connections: int,
    seconds: float,
) -> None:
    for server in servers:
        row = Row(client="wrk", model=model.name, threads=threads, connections=connections)
        got = wrk(server.target, connections=connections, seconds=seconds)
        figures.rounds[row, server.target.name].append(got)
    if threads != THREADS:
        return  # the rows on one thread are about the server: one client is enough
    for server in servers:
        if server.target.oip == "binary":
            row = Row(client="tritonclient", model=model.name, threads=threads, connections=connections)
            got = triton(server.target, model.name, connections=connections, seconds=seconds)
            figures.rounds[row, server.target.name].append(got)


def _bare_us(session: onnxruntime.InferenceSession, model: BenchModel) -> float:
    """Median of a run on one thread, of as many runs as half a second holds, 500 at most."""
    spent: list[float] = []
    until = time.perf_counter() + 0.5
    inputs = {"x": model.row}
    while len(spent) < 500 and time.perf_counter() < until:
        began = time.perf_counter_ns()
        session.run(["y"], inputs)
        spent.append((time.perf_counter_ns() - began) / 1000)
    return float(np.median(spent))


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


# -- the table and the bars


def table(figures: Figures) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row in figures.rows():
        ours = figures.of(row, OURS)
        for name in figures.servers(row):
            got = figures.of(row, name)
            rows.append(
                {
                    "client": row.client,
                    "model": row.model,
                    "threads": row.threads,
                    "connections": row.connections,
                    "server": name,
                    "requests/s": round(got.rate, 1),
                    "p50 us": round(got.p50_us),
                    "p99 us": round(got.p99_us),
                    "failed": got.failed,
                    "ours over it": round(ours.rate / got.rate, 2),
                }
            )
    return rows


def bars(figures: Figures) -> list[Bar]:
    """Ahead of each on every row; the floors by name; what HTTP adds to a tiny model's run."""
    judged: list[Bar] = []
    for row in figures.rows():
        ours = figures.of(row, OURS)
        others = {name: figures.of(row, name) for name in figures.servers(row) if name != OURS}
        nearest = max(others, key=lambda name: others[name].rate)
        rate = ours.rate / others[nearest].rate
        judged.append(
            Bar(name=f"{row}: requests/s over the nearest, {nearest}", limit=1.0, value=rate, at_least=True)
        )
        nearest = min(others, key=lambda name: others[name].p99_us)
        p99 = ours.p99_us / others[nearest].p99_us
        judged.append(Bar(name=f"{row}: p99 over the nearest's, {nearest}", limit=1.0, value=p99))
        floors = FLOORS.get((row.model, row.threads, row.connections), {}) if row.client == "wrk" else {}
        for name, least in floors.items():
            value = ours.rate / others[name].rate
            judged.append(Bar(name=f"{row}: requests/s over {name}", limit=least, value=value, at_least=True))
    tiny = Row(client="wrk", model="tiny", threads=THREADS, connections=1)
    over = figures.of(tiny, OURS).p50_us - median(figures.bare_us["tiny"])
    judged.append(Bar(name="tiny, 1 connection: p50 over a bare run, us", limit=120.0, value=over))
    failed = sum(one.failed for (_, name), rounds in figures.rounds.items() if name == OURS for one in rounds)
    judged.append(Bar(name="requests of ours that failed", limit=0, value=failed))
    return judged


def remarks(figures: Figures) -> None:
    for name, spent in figures.bare_us.items():
        sys.stderr.write(f"bare session.run, {name}: {median(spent):.1f} us\n")
    ours = figures.of(Row(client="wrk", model="tiny", threads=THREADS, connections=16), OURS).rate
    word = "slower" if ours < TRITON_TINY_16 else "not slower"
    sys.stderr.write(
        f"tiny, 16 connections: {ours:.0f}/s is {word} than Triton's native backend ({TRITON_TINY_16}/s, "
        "measured on another machine)\n"
    )
    sys.stderr.write("MLServer's REST takes no binary tensors; LitServe, BentoML, FastAPI speak other JSON\n")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="install the peers that lack (2 GB of disk)")
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--json", action="store_true", help="one object as the last line of stdout")
    arguments = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended also then
    try:
        prepare(PEERS, may_install=arguments.yes)
        figures = Figures()
        rounds, seconds = (1, 1.0) if arguments.quick else (3, 2.0)
        plans = [(model, THREADS) for model in bench_models()]
        plans.append((next(model for model in bench_models() if model.name == "small"), 1))
        with tempfile.TemporaryDirectory() as name:
            for model, threads in plans:
                folder = Path(name) / f"{model.name}-{threads}"
                measure(figures, model, threads=threads, rounds=rounds, seconds=seconds, folder=folder)
    except (PeersMissing, WrkMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 0
    rows = table(figures)
    print_table(rows)
    remarks(figures)
    libraries = {peer.name: peer.packages[0] for peer in PEERS}
    packages = ("limosa", "numpy", "onnxruntime", "uvloop", "httptools", "tritonclient")
    return finish(rows, bars(figures), as_json=arguments.json, packages=packages, libraries=libraries)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
