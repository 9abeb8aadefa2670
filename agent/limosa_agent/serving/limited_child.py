"""Child processes that may not take much, and do not outlive their parent."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from limosa_agent.serving.limits import SelfTestLimits

PR_SET_PDEATHSIG: Final = 1
OPEN_FILES_MAX: Final = 128
SERVING_OOM_SCORE: Final = 300  # 0 is the supervisor's: it must be there to start others again
STANDBY_OOM_SCORE: Final = 600
SHADOW_OOM_SCORE: Final = 1000  # nobody waits for its answers
QUIET_ENVIRONMENT: Final = {
    # glibc gives memory back earlier: 88 -> 73 MB, no slowdown (agent 5.4)
    "MALLOC_TRIM_THRESHOLD_": "65536",
    # numpy's own threads would only cost memory: the runtime does the work
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    returncode: int  # negative: the signal
    output: bytes  # of its stdout, at most the limit
    over_time: bool

    @property
    def signal_name(self) -> str:
        return signal_name(self.returncode)


def signal_name(returncode: int) -> str:
    """`SIGFPE` for -8; "" for a process that exited by itself."""
    if returncode >= 0:
        return ""
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def child_environment() -> dict[str, str]:
    return {**os.environ, **QUIET_ENVIRONMENT}


def module_command(module: str, *arguments: str) -> list[str]:
    """`python -m module` with this interpreter; the working folder is not searched for modules."""
    return [sys.executable, "-P", "-m", module, *arguments]


def die_with_parent(parent: int) -> None:
    """Called in the child, first thing: SIGKILL when the parent ends (Linux)."""
    import ctypes  # in the child only: the supervisor stays without it

    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before we asked


def set_oom_score(score: int) -> None:
    """Whom the kernel ends first when memory is short: the highest, of -1000 to 1000 (Linux)."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  # no Path object
            file.write(str(score))
    except OSError:
        return  # not Linux, or below what an administrator has set: then theirs holds


def limit_this_process(limits: SelfTestLimits, *, file_max_bytes: int = 0) -> None:
    """Called in the child before anything large is imported.

    Private memory is limited, not address space: runtimes map far more than they use.
    """
    for what, soft, hard in (
        (resource.RLIMIT_DATA, limits.memory_max_bytes, limits.memory_max_bytes),
        (resource.RLIMIT_CPU, limits.cpu_max_s, limits.cpu_max_s + 1),  # SIGXCPU, then SIGKILL
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, file_max_bytes, file_max_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX, OPEN_FILES_MAX),
    ):
        _, ceiling = resource.getrlimit(what)
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(what, (soft, hard))


async def run_limited(command: Sequence[str], limits: SelfTestLimits) -> Ended:
    """Runs it to its end, or kills it at `wall_max_s`. Its stderr is ours."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert child.stdout is not None
    output = b""
    over_time = False
    try:
        async with asyncio.timeout(limits.wall_max_s):
            while len(output) < limits.output_max_bytes:
                more = await child.stdout.read(limits.output_max_bytes - len(output))
                if not more:
                    break
                output += more
            await child.wait()
    except TimeoutError:
        over_time = True
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    assert child.returncode is not None
    return Ended(returncode=child.returncode, output=output, over_time=over_time)
