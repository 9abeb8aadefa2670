"""How much processor time the first thread of a process had."""

from __future__ import annotations

import os
from typing import Final

_USER: Final = 11  # fields after the name in /proc/PID/task/TID/stat: utime, then stime


def first_thread_s(pid: int) -> float:
    """Seconds since it began, in the steps of the kernel's clock (10 ms); 0 where the system does not say.

    The other threads do not count: four that work side by side would make one second look like four.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", "rb") as file:  # noqa: PTH123  # each second: no Path object
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[_USER]) + int(fields[_USER + 1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")
