"""What the supervisor knows of a worker by its shared page and by what the system says (agent 1)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from limosa_agent.serving.worker_process import WorkerProcess
from tests.agent.serving.conftest import quick_limits
from tests.agent.serving.releases import install, tiny_plan

READY_AND_STANDS_STILL = """
import argparse, json, os, signal, socket
parser = argparse.ArgumentParser()
parser.add_argument("--control", type=int)
line = socket.socket(fileno=parser.parse_known_args()[0].control)
line.setblocking(True)
line.recv(1 << 20)
line.sendall(json.dumps({"ready": True}).encode() + b"\\n")
while True:
    signal.pause()
"""


def with_worker(slots: Path, module: str, look: Callable[[WorkerProcess], Awaitable[None]]) -> None:
    async def run() -> None:
        worker = WorkerProcess(
            generation=1,
            models=[install(tiny_plan("1.0.0"), slots)],
            limits=quick_limits(),
            on_gone=lambda _: None,
            on_observation=lambda _, __: None,
            module=module,
        )
        await worker.start(())
        try:
            await look(worker)
        finally:
            await worker.kill()

    asyncio.run(run())


def test_worker_whose_loop_has_not_turned_yet_is_silent_since_it_was_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slots: Path
) -> None:
    """On a busy board minutes can lie between the two; the clock's beginning lies further back."""
    (tmp_path / "ready_and_stands_still.py").write_text(READY_AND_STANDS_STILL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    since = time.monotonic()

    async def look(worker: WorkerProcess) -> None:
        os.kill(worker.pid, signal.SIGSTOP)
        silent_s = worker.silent_for_s()
        assert 0.0 <= silent_s <= time.monotonic() - since
        assert worker.busy_for_s() < 1.0  # what it took to load is not counted
        assert worker.silent_for_s() > silent_s

    with_worker(slots, "ready_and_stands_still", look)
