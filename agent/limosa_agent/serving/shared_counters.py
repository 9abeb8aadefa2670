"""One page that a worker writes and its supervisor reads: it outlives the worker's crash."""

from __future__ import annotations

import mmap
import os
from typing import Final

PAGE_BYTES: Final = 4096
_IN_FLIGHT, _CONNECTIONS, _RUNNING, _BEAT = range(4)


class SharedCounters:
    """Signed 64-bit numbers in an anonymous file (memfd) that both processes map."""

    def __init__(self, fd: int) -> None:
        self._page: Final = mmap.mmap(fd, PAGE_BYTES)
        self._numbers: Final = memoryview(self._page).cast("q")

    @staticmethod
    def create_fd() -> int:
        """A file descriptor for both sides; the caller closes it."""
        fd = os.memfd_create("limosa-serving", os.MFD_CLOEXEC)
        os.ftruncate(fd, PAGE_BYTES)
        return fd

    @property
    def in_flight(self) -> int:
        """Requests begun to read and not yet answered."""
        return self._numbers[_IN_FLIGHT]

    def add_in_flight(self, change: int) -> None:
        self._numbers[_IN_FLIGHT] += change

    @property
    def connections(self) -> int:
        return self._numbers[_CONNECTIONS]

    @connections.setter
    def connections(self, value: int) -> None:
        self._numbers[_CONNECTIONS] = value

    @property
    def running(self) -> int:
        """1 + the index of the model whose inference was begun last and has not ended; 0: none."""
        return self._numbers[_RUNNING]

    @running.setter
    def running(self, value: int) -> None:
        self._numbers[_RUNNING] = value

    @property
    def beat_ns(self) -> int:
        """Monotonic nanoseconds of the last turn of the worker's loop; 0 before the first."""
        return self._numbers[_BEAT]

    @beat_ns.setter
    def beat_ns(self, value: int) -> None:
        self._numbers[_BEAT] = value

    def close(self) -> None:
        """Nothing can be read afterwards. Closing twice is fine."""
        self._numbers.release()
        self._page.close()
