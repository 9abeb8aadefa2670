"""Threads for models that are slow: work in, and the loop is told when it is done (agent 5.4).

A queue and one wake-up of the loop per run: a third of the time that an executor's futures take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread, get_ident
from typing import Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")
Done: TypeAlias = Callable[[T | None, Exception | None], None]


class RunPool(Generic[T]):
    """Its threads are started with the first work, and die with the process: a run cannot be stopped."""

    def __init__(self, threads: int) -> None:
        self.threads: Final = threads
        self.waiting = 0  # runs that were given and are not done, those in threads included
        self._queue: Final[SimpleQueue[_Given[T] | None]] = SimpleQueue()
        self._running_since: Final[dict[int, float]] = {}  # thread -> monotonic seconds
        self._started = 0

    def submit(self, run: Callable[[], T], done: Done[T]) -> None:
        """`run` in a thread, then `done` with its result or error, on this loop. Only from the loop."""
        self.waiting += 1
        if self._started < self.threads and self.waiting > self._started:
            self._started += 1
            Thread(target=self._work, name=f"run_{self._started}", daemon=True).start()
        self._queue.put((run, done, asyncio.get_running_loop()))

    def longest_run_s(self, now: float) -> float:
        """For how long the run that is oldest has been in its thread. `now`: monotonic."""
        return now - min(self._running_since.copy().values(), default=now)

    def close(self) -> None:
        """Threads end after what they have begun."""
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        thread = get_ident()
        while (taken := self._queue.get()) is not None:
            run, done, loop = taken
            self._running_since[thread] = time.monotonic()
            result: T | None = None
            failed: Exception | None = None
            try:
                result = run()
            except Exception as error:  # noqa: BLE001  # handed over: who is told decides
                failed = error
            del self._running_since[thread]
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(self._done, done, result, failed)

    def _done(self, done: Done[T], result: T | None, failed: Exception | None) -> None:
        self.waiting -= 1
        done(result, failed)


_Given: TypeAlias = tuple[Callable[[], T], Done[T], asyncio.AbstractEventLoop]
