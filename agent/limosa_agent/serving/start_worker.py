"""`python -m limosa_agent.serving.start_worker …`: the worker, without the TLS that it never speaks.

asyncio and uvloop import `ssl`, which brings libssl and libcrypto: 4 MB of the 15 that a worker may take
over its runtime (agent 1). It answers on sockets of this machine and connects to nobody.
"""

from __future__ import annotations

import sys
from types import ModuleType


class NoTls(ModuleType):
    """What uvloop asks for when it is imported: numbers, classes and exceptions, none of which is used."""

    def __getattr__(self, name: str) -> int | type[Exception]:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0 if name.isupper() else type(name, (Exception,), {})


def main() -> None:
    sys.modules.setdefault("ssl", NoTls("ssl"))
    from limosa_agent.serving.worker import main as run

    run()


if __name__ == "__main__":
    main()
