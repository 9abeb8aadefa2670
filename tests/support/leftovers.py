"""Finds processes that a test run started and did not end, also when their parent is gone."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

MARK = "LIMOSA_TEST_RUN"
TOLERATED = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""The interpreter's own children; they end with the test process."""


def mark_children() -> str:
    """Sets a mark that every process started from here on inherits in its environment."""
    mark = uuid.uuid4().hex
    os.environ[MARK] = mark
    return mark


def marked_processes(mark: str) -> dict[int, str]:
    """pid -> command line of living processes that carry the mark."""
    needle = f"{MARK}={mark}".encode()
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            if needle not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended while we looked, or is another user's
        if command and not any(word in command for word in TOLERATED):
            found[int(entry.name)] = command
    return found
