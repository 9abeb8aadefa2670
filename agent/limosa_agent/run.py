"""`python -m limosa_agent.run --config F`: the agent's process, kept small (agent 1)."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    # paho loads dnspython where it happens to be installed, for a kind of look-up that is not used
    # here: 4 MB of the 40 that the supervisor may have.
    sys.modules.setdefault("dns", None)  # type: ignore[arg-type]  # how the import system marks "not there"
    from limosa_agent.process import main as run

    if len(sys.argv) != 3 or sys.argv[1] != "--config":
        sys.stderr.write("usage: python -m limosa_agent.run --config FILE\n")
        return 2
    return run(Path(sys.argv[2]))


if __name__ == "__main__":
    sys.exit(main())
