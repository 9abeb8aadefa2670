"""Which faults are injected: at each system call by which a recorded program changed the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.crash.recorder import Fault, Recording

KINDS: Final = ("SIGKILL", "ENOSPC", "EIO")
NEVER: Final = {"ENOSPC": ("close", "unlink", "rmdir", "ftruncate")}
"""Error -> the calls for which no kernel gives it."""


def faults(recording: Recording, *, kinds: Sequence[str] = KINDS) -> Iterator[Fault]:
    """Each system call once per kind, in their order."""
    done: set[tuple[str, int]] = set()
    for call in recording.calls:
        if (call.name, call.number) in done:
            continue
        done.add((call.name, call.number))
        for kind in kinds:
            if call.name not in NEVER.get(kind, ()):
                yield Fault(call=call.name, number=call.number, what=kind)
