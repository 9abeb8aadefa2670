"""A pool with real workers on a thread of its own, as a supervisor runs it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.pool import Observation, PoolEvent, ServingPool, SlotRef, WorkerCrashed
from tests.agent.serving.releases import install, tiny_plan
from tests.support.waiting import PATIENCE, wait_until

T = TypeVar("T")


class RunningPool:
    """Calls from the test's thread; the pool lives on an event loop in another."""

    def __init__(self, limits: ServingLimits) -> None:
        self.events: list[PoolEvent] = []
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="supervisor", daemon=True)
        self._thread.start()
        self.pool = self.call(self._make(limits))

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    @property
    def crashes(self) -> list[WorkerCrashed]:
        return [event for event in tuple(self.events) if isinstance(event, WorkerCrashed)]

    @property
    def observations(self) -> list[Observation]:
        return [event for event in tuple(self.events) if isinstance(event, Observation)]

    def call(self, work: Coroutine[None, None, T], *, timeout_s: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s * PATIENCE)

    def start(self, *models: SlotRef) -> None:
        self.call(self.pool.start(models))

    def switch(self, *models: SlotRef, keep_standby: bool = True) -> int:
        return self.call(self.pool.switch(models, keep_standby=keep_standby))

    def wait_for_crash(self, number: int = 1) -> WorkerCrashed:
        wait_until(lambda: len(self.crashes) >= number, timeout_s=20, what=f"crash {number}")
        return self.crashes[number - 1]

    def end(self) -> None:
        self.call(self.pool.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.listening.close()

    async def _make(self, limits: ServingLimits) -> ServingPool:
        return ServingPool(sockets=[self.listening], limits=limits, on_event=self.events.append)


StartPool = Callable[..., RunningPool]


@pytest.fixture
def start_pool() -> Iterator[StartPool]:
    """`start_pool(slot, ..., limits=...)`: a pool that serves these."""
    running: list[RunningPool] = []

    def start(*models: SlotRef, limits: ServingLimits | None = None) -> RunningPool:
        pool = RunningPool(limits or quick_limits())
        running.append(pool)
        pool.start(*models)
        return pool

    yield start
    for pool in running:
        pool.end()


def quick_limits(**changes: float) -> ServingLimits:
    """Times a test can wait for."""
    values: dict[str, float] = {"observe_every_s": 0.1, "drain_idle_s": 5.0, "stop_grace_s": 2.0, **changes}
    return ServingLimits.parse(values)


@pytest.fixture
def slots(tmp_path: Path) -> Path:
    return tmp_path / "state"


def models_of(pool: RunningPool) -> Sequence[str]:
    return [f"{slot.model}@{slot.version}" for slot in pool.pool.models]


@pytest.fixture
def tiny(start_pool: StartPool, slots: Path) -> RunningPool:
    return start_pool(install(tiny_plan(), slots))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPool]:
    """One for all tests of a file: for requests, none of which may leave a trace in the next one's answer."""
    pool = RunningPool(quick_limits())
    try:
        pool.start(install(tiny_plan(), tmp_path_factory.mktemp("state")))
        yield pool
    finally:
        pool.end()
