"""The files of the log: one is written, a few older ones are kept, none grows beyond its size.

A log is worth less than what it tells of: it is not synced, and where the disk is full or read-only
its lines are lost, counted, and the agent goes on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER: Final = "logs"
NAME: Final = "agent.jsonl"
MODE: Final = 0o640


def log_files(state_dir: Path) -> list[Path]:
    """Those that are there, oldest first; the last is the one that is written."""
    folder = state_dir / FOLDER
    numbered = [(int(p.suffix[1:]), p) for p in folder.glob(f"{NAME}.*") if p.suffix[1:].isdecimal()]
    older = [path for _, path in sorted(numbered, reverse=True)]
    current = folder / NAME
    return [*older, current] if current.is_file() else older


class LogFiles:
    """`files` >= 1 in all, each of at most `file_max_bytes` plus one line."""

    def __init__(self, state_dir: Path, *, files: int, file_max_bytes: int) -> None:
        self._folder = state_dir / FOLDER
        self._files = files
        self._max_bytes = file_max_bytes
        self._descriptor = -1
        self._size = 0
        self.lost = 0  # lines that could not be written since the last one that could

    def write(self, line: str) -> None:
        """Never raises OSError."""
        data = line.encode(errors="backslashreplace") + b"\n"
        try:
            if self._descriptor < 0:
                self._open()
            if self._size and self._size + len(data) > self._max_bytes:
                self._turn()
            self._size += os.write(self._descriptor, data)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._folder / NAME, flags, MODE)
        self._size = os.fstat(self._descriptor).st_size
        for path in log_files(self._folder.parent)[: -self._files]:
            path.unlink(missing_ok=True)  # more were kept before

    def _turn(self) -> None:
        """agent.jsonl -> agent.jsonl.1 -> … ; the oldest goes."""
        self.close()
        (self._folder / f"{NAME}.{self._files - 1}").unlink(missing_ok=True)
        for number in range(self._files - 2, -1, -1):
            source = self._folder / (f"{NAME}.{number}" if number else NAME)
            with suppress(FileNotFoundError):
                source.rename(self._folder / f"{NAME}.{number + 1}")
        if self._files == 1:
            (self._folder / NAME).unlink(missing_ok=True)
        self._open()
