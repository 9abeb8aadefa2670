"""One delta, in a process of its own.

`python -m limosa_server.registry.delta_worker BASE NEW OUT MEMORY_BYTES CPU_S`

Exit code 0: OUT is written; 3: none pays. It is bounded by rlimits and ends with the server.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Final

NONE_PAYS: Final = 3
NICE: Final = 10  # answering devices comes first
PARENT_CHECK_S: Final = 1.0


def main(words: list[str]) -> int:
    base, new, out = (Path(word) for word in words[:3])
    memory, cpu = (int(word) for word in words[3:])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from limosa_contracts.delta.making import make_delta

    delta = make_delta(base.read_bytes(), new.read_bytes())
    if delta is None:
        return NONE_PAYS
    out.write_bytes(delta)
    return 0


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
