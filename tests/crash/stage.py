"""A process that has imported the agent once and forks a child for each program, so that a run costs
milliseconds: `python -m tests.crash.stage`, commands and answers as JSON lines.

The child waits until it is told to go: by then strace may have attached itself to it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.crash.kept import promises_are_marked
from tests.crash.programs import PROGRAMS, Marker
from tests.crash.shim import recording

PR_SET_PTRACER: Final = 0x59616D61
ANY: Final = ctypes.c_ulong(-1)
FAILED: Final = 3
"""Exit code of a program that ended with an error which the agent reports as such."""
BROKE: Final = 4
"""Exit code of a program that ended with a traceback."""


def child(job: dict[str, Any], go: int) -> NoReturn:
    """Where the kernel restricts tracing to descendants, anyone may trace this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    code = BROKE
    os.read(go, 1)
    try:
        seen = recording(Path(job["shim"])) if job["shim"] else nullcontext()
        with seen, Marker.open(Path(job["marks"])) as mark, promises_are_marked(mark):
            code = 0 if PROGRAMS[job["program"]](job["args"], mark) else FAILED
    except BaseException:  # noqa: BLE001  a process's main: what happened goes to the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(job, read_end)
        os.close(read_end)
        print(pid, flush=True)
        sys.stdin.readline()
        os.write(write_end, b"g")
        os.close(write_end)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
