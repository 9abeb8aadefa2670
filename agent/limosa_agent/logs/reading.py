"""The log read back: whole files, the newest lines, or what is written from now on."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from limosa_agent.logs.config import LEVELS
from limosa_agent.logs.files import FOLDER, NAME, log_files
from limosa_contracts.json_value import JsonObject

LOOK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines: at least of `level`; of `model` where it is named; not before `since` (a time stamp)."""

    level: str = "debug"
    model: str = ""
    since: str = ""

    def takes(self, line: JsonObject) -> bool:
        level = line.get("level")
        rank = LEVELS.index(str(level)) if level in LEVELS else len(LEVELS)  # "critical" is above all
        if rank < LEVELS.index(self.level):
            return False
        if self.model and line.get("model") != self.model:
            return False
        return not self.since or str(line.get("time", "")) >= self.since


def newest(state_dir: Path, wanted: Wanted, *, lines: int) -> list[JsonObject]:
    """At most `lines`, oldest first."""
    kept: deque[JsonObject] = deque(maxlen=lines)
    for path in log_files(state_dir):
        with path.open("rb") as stream:
            kept.extend(line for line in map(_parsed, stream) if line is not None and wanted.takes(line))
    return list(kept)


def follow(state_dir: Path, wanted: Wanted) -> Iterator[JsonObject]:
    """Every line that is written from now on, over the change of files too. Never ends."""
    current = _open_after(state_dir, None)
    if current is not None:
        current.seek(0, os.SEEK_END)
    rest = b""
    try:
        while True:
            # Looked at before reading: what is written into a file after it was turned is nothing.
            turned = current is None or _was_turned(state_dir, current)
            data = current.read() if current is not None else b""
            *whole, rest = (rest + data).split(b"\n")
            for text in whole:
                line = _parsed(text)
                if line is not None and wanted.takes(line):
                    yield line
            if data:
                continue
            if turned and (following := _open_after(state_dir, current)) is not None:
                if current is not None:
                    current.close()
                current, rest = following, b""
                continue
            time.sleep(LOOK_EVERY_S)
    finally:
        if current is not None:
            current.close()


def _open_after(state_dir: Path, current: BinaryIO | None) -> BinaryIO | None:
    """The file that was begun after `current`; the oldest where that one is gone, the newest for None."""
    opened: list[BinaryIO] = []
    for path in log_files(state_dir):
        with suppress(FileNotFoundError):
            opened.append(path.open("rb"))
    place = len(opened) - 1
    if current is not None:
        same = [_inode(stream) == _inode(current) for stream in opened]
        place = same.index(True) + 1 if any(same) else 0
    for number, stream in enumerate(opened):
        if number != place:
            stream.close()
    return opened[place] if 0 <= place < len(opened) else None


def _was_turned(state_dir: Path, current: BinaryIO) -> bool:
    """Whether another file is written by now."""
    try:
        return not os.path.samestat(os.fstat(current.fileno()), (state_dir / FOLDER / NAME).stat())
    except FileNotFoundError:
        return False


def _inode(stream: BinaryIO) -> tuple[int, int]:
    found = os.fstat(stream.fileno())
    return (found.st_dev, found.st_ino)


def _parsed(text: bytes) -> JsonObject | None:
    """None for half a line, as a lost power leaves it."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
