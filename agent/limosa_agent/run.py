"""`python -m limosa_agent.run --config F`: the agent's process, kept small (agent 1)."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # pathlib loads urllib.parse, which loads ipaddress: too early
    from collections.abc import Callable
    from pathlib import Path


def main() -> int:
    run = _load()
    from pathlib import Path

    if len(sys.argv) != 3 or sys.argv[1] != "--config":
        sys.stderr.write("usage: python -m limosa_agent.run --config FILE\n")
        return 2
    return run(Path(sys.argv[2]))


LATER: Final = ("calendar", "ipaddress", "locale", "stringprep", "textwrap", "tokenize", "uuid")
"""Modules that libraries import and hardly use."""


class Later(ModuleType):
    """Stands for a module until something of it is asked for; then it is loaded. importlib's LazyLoader
    would load it at the next `import` of it already."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        place = self.__name__
        if sys.modules.get(place) is self:
            sys.modules.pop(place, None)
        return getattr(import_module(place), name)


SSH: Final = "cryptography.hazmat.primitives.serialization.ssh"


class NoSsh(ModuleType):
    """Every name is a class that nobody uses: cryptography's keys ask for some when they are imported."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _load() -> Callable[[Path], int]:
    """The agent, without what its libraries load for things that it does not do.

    Of the 40 MB that the supervisor may have (agent 1), dnspython takes 4, for SRV records that paho could
    ask for; urllib.request 2 with what it loads, for proxies, and only where PySocks is installed; keys in
    the form of SSH 0.6; what is loaded LATER 0.7.
    """
    for name in LATER:
        sys.modules.setdefault(name, Later(name))
    sys.modules.setdefault("dns", None)  # type: ignore[arg-type]  # how the import system marks "not there"
    sys.modules.setdefault(SSH, NoSsh(SSH))
    place, without = "urllib.request", find_spec("socks") is None
    if without:
        sys.modules[place] = ModuleType(place)
    from limosa_agent.lean_dataclasses import lean_dataclasses

    try:
        with lean_dataclasses():
            from limosa_agent.process import main as run
    finally:
        if without:
            del sys.modules[place]
    return run


if __name__ == "__main__":
    sys.exit(main())
