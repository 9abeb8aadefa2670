"""`python -m limosa_agent.run --config F`: the agent's process, kept small (agent 1)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def main() -> int:
    run = _load()
    if len(sys.argv) != 3 or sys.argv[1] != "--config":
        sys.stderr.write("usage: python -m limosa_agent.run --config FILE\n")
        return 2
    return run(Path(sys.argv[2]))


def _load() -> Callable[[Path], int]:
    """The agent, without what paho loads for ways to a broker that are not used here.

    dnspython (4 MB of the 40 that the supervisor may have) is for SRV records; urllib.request (2 MB with
    what it loads) is asked for proxies, and only where PySocks is installed.
    """
    sys.modules.setdefault("dns", None)  # type: ignore[arg-type]  # how the import system marks "not there"
    place, without = "urllib.request", find_spec("socks") is None
    if without:
        sys.modules[place] = ModuleType(place)
    try:
        from limosa_agent.process import main as run
    finally:
        if without:
            del sys.modules[place]
    return run


if __name__ == "__main__":
    sys.exit(main())
