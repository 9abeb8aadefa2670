"""Ours, as a supervisor runs it: `ours.py MODEL PORT THREADS STATE_DIR`, until its process group is ended.

THREADS 1: the model runs on the loop, which is the only thread then.

Everything is on: schema checks with ranges, sketches, limits, counters, a report of them every second.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # what lies beside the packages

from benchmarks.serving_peers.models import bench_models
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import ServingPool
from tests.agent.serving.releases import install

EVER_US: Final = 10**9


async def serve(name: str, port: int, threads: int, state_dir: Path) -> None:
    model = next(model for model in bench_models() if model.name == name)
    slot = install(model.plan(), state_dir)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    with socket.create_server(("127.0.0.1", port), backlog=512) as listening:
        limits = ServingLimits(threads=threads, **({"inline_max_us": EVER_US} if threads == 1 else {}))
        pool = ServingPool(sockets=[listening], limits=limits, on_event=lambda _: None)
        await pool.start([slot])
        await ended.wait()
        await pool.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
