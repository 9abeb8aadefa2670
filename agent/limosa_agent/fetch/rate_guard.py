"""Ends a connection that is too slow, wherever it dawdles: handshake, headers, chunk lines or body."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from limosa_agent.fetch.limits import FetchLimits


@dataclass(slots=True)
class RateMeter:
    """At least `least` bytes in each window of `window_s`, all within `budget_s`. Pure.

    >>> meter = RateMeter(least=1000.0, window_s=60.0, budget_s=3600.0, started=0.0)
    >>> meter.too_slow(total=120, now=59.0), meter.too_slow(total=120, now=60.0)
    ('', '120 bytes in 60 s, at least 60000 are needed')
    """

    least: float  # bytes per second
    window_s: float
    budget_s: float
    started: float
    window_started: float = -1.0
    window_total: int = 0

    def too_slow(self, *, total: int, now: float) -> str:
        """Why it is given up, or ""."""
        if self.window_started < 0:
            self.window_started = self.started
        if now - self.started >= self.budget_s:
            return f"not complete after {self.budget_s:g} s"
        elapsed = now - self.window_started
        if elapsed < self.window_s:
            return ""
        got, needed = total - self.window_total, self.least * elapsed
        self.window_started, self.window_total = now, total
        return f"{got} bytes in {elapsed:.0f} s, at least {needed:.0f} are needed" if got < needed else ""


class RateGuard:
    """Watches one request from a thread, and shuts its socket down when the meter says so.

    A time-out of each read alone does not help: a byte per read resets it, also within headers.
    """

    def __init__(self, limits: FetchLimits, *, budget_s: float) -> None:
        self.reason = ""
        self._limits = limits
        self._budget_s = budget_s
        self._total = 0
        self._socket: socket.socket | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rate-guard", daemon=True)

    def watch(self, connection: socket.socket) -> None:
        self._socket = connection

    def count(self, size: int) -> None:
        self._total += size

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        meter = RateMeter(
            least=self._limits.min_rate_bytes_per_s,
            window_s=self._limits.rate_window_s,
            budget_s=self._budget_s,
            started=time.monotonic(),
        )
        every_s = min(self._limits.rate_window_s, self._budget_s, 5.0) / 5
        while not self._done.wait(every_s):
            self.reason = self.reason or meter.too_slow(total=self._total, now=time.monotonic())
            if self.reason and self._socket is not None:
                with suppress(OSError):
                    # Of the base class: an SSLSocket would drop its session under the reader's feet.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
