"""Peak memory of a process and all its children, by looking at /proc every few milliseconds."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """`peak_bytes`: largest sum of resident memory seen; pages that processes share count in each."""

    returncode: int
    seconds: float
    cpu_seconds: float  # of all its processes: says more than the clock on a busy machine
    peak_bytes: int
    stderr: str


def watch(command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float) -> Watched:
    """Runs it to its end. Raises TimeoutExpired after killing it."""
    begin, used = time.perf_counter(), _cpu_seconds()
    peak = 0
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            if time.perf_counter() - begin > timeout_s:
                process.kill()
                raise subprocess.TimeoutExpired(list(command), timeout_s)
            time.sleep(EVERY_S)
        said = process.stderr.read() if process.stderr else ""
        return Watched(
            returncode=process.returncode,
            seconds=time.perf_counter() - begin,
            cpu_seconds=_cpu_seconds() - used,
            peak_bytes=peak,
            stderr=said,
        )


def _cpu_seconds() -> float:
    """Of children that have ended, and of theirs that they waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _resident(root: int) -> int:
    """Bytes of the process and its descendants; those that end meanwhile count nothing."""
    total, left = 0, [root]
    while left:
        process = Path("/proc") / str(left.pop())
        try:
            for line in (process / "status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
            for task in (process / "task").iterdir():
                left += [int(word) for word in (task / "children").read_text().split()]
        except (OSError, ProcessLookupError):
            continue
    return total
