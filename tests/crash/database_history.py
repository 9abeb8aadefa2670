"""What the state database held after each commit of a recorded program (agent 3.1): a crash state must hold
what was committed last, or the commit that was under way; nothing older, and no half of one."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from limosa_agent.store.state_db import FILE, StateDb
from tests.crash.disk_log import DiskLog, Image, Mark

COMMITTED: Final = "committed "
FILES: Final = (FILE, f"{FILE}-wal")


@contextmanager
def commits_are_marked(mark: Callable[[str], None], db: StateDb) -> Iterator[None]:
    """Two marks after each commit: which it was, and a digest of all that the database holds. Number 0 is
    what it holds once it is open, made or migrated."""
    before, numbers = db._probe, count(1)
    mark(f"{COMMITTED}0 {digest_of(db._connection)}")

    def probe(point: str) -> None:
        before(point)
        if point.startswith("after "):
            mark(point)
            mark(f"{COMMITTED}{next(numbers)} {digest_of(db._connection)}")

    db._probe = probe
    try:
        yield
    finally:
        db._probe = before


def digest_of(connection: sqlite3.Connection) -> str:
    return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DatabaseHistory:
    """`found` is of the database that the program began with, "" if there was none."""

    found: str
    digests: tuple[str, ...]

    @classmethod
    def of(cls, log: DiskLog) -> DatabaseHistory:
        told = (op.text.split()[2] for op in log.operations if isinstance(op, Mark) and _is_commit(op.text))
        return cls(_digest(log.base), tuple(told))

    def broken(self, image: Image, marks: Collection[str]) -> str:
        """What is wrong with the database of a crash state, "" if nothing."""
        last = max((int(mark.split()[1]) for mark in marks if _is_commit(mark)), default=-1)
        if last < 0 and not self.found:
            return ""  # it is being made; what comes of that is for the judge
        found = _digest(image)
        if found in ((self.found, *self.digests[:1]) if last < 0 else self.digests[last : last + 2]):
            return ""
        return f"the database is not as it was after commit {last}: {found[:60]}"


def _is_commit(text: str) -> bool:
    return text.startswith(COMMITTED)


def _digest(image: Image) -> str:
    if image.find(FILE) is None:
        return ""
    with TemporaryDirectory() as folder:
        for name in FILES:
            number = image.find(name)
            if number is not None:
                (Path(folder) / name).write_bytes(image.contents.get(number, b""))
        try:
            with closing(sqlite3.connect(Path(folder) / FILE)) as connection:
                return digest_of(connection)
        except sqlite3.Error as error:
            return f"{type(error).__name__}: {error}"
