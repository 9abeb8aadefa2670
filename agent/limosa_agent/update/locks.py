"""Locks of applications: a file in `hold.d` that somebody has locked holds every update back (agent 2.3).

The kernel ends the lock with the process that holds it, so a file that a dead process left holds nothing.
An application takes it as `flock hold.d/NAME COMMAND` does: exclusive, waiting.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

LOCKS_MAX: Final = 64  # files of the folder that are looked at, in order of their names


def held_locks(folder: Path) -> tuple[str, ...]:
    """Names of the files that a living process has locked."""
    try:
        names = sorted(os.listdir(folder))[:LOCKS_MAX]  # noqa: PTH208  names only, nothing is opened by it
    except OSError:
        return ()
    return tuple(name for name in names if _locked(folder / name))


def _locked(path: Path) -> bool:
    with suppress(OSError):  # it has gone, or is not ours to read: then it is not ours to obey
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
