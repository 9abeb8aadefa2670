"""What functions of the agent promise in their docstrings to leave behind for good when they return.

`Disk.replace_file` and `Disk.replace_link` (new bytes, new target), `Disk.make_folder` (each folder
durable in its parent), `BlobDownload.ensure` (the blob). While a program is recorded each of them leaves
a mark when it returns; a promise lapses when the program itself touches that name, or one above it, again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from limosa_agent.fetch.download import BlobDownload
from limosa_agent.fetch.durable import Disk
from tests.crash.disk_log import ROOT, DiskLog, Image, Mark, names_of

KEPT: Final = "kept "
PROMISING: Final[Sequence[tuple[type, str, Callable[..., Path]]]] = (
    (Disk, "replace_file", lambda disk, path, data: path),
    (Disk, "replace_link", lambda disk, link, text: link),
    (Disk, "make_folder", lambda disk, path: path),
    (BlobDownload, "ensure", lambda download, url, descriptor, *, part, blob: blob),
)
"""Class, method, and which of its arguments is the path that is kept."""


@contextmanager
def promises_are_marked(mark: Callable[[str], None]) -> Iterator[None]:
    def marked(method: Callable[..., Any], path_of: Callable[..., Path]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*given: Any, **named: Any) -> Any:
            result = method(*given, **named)
            mark(f"{KEPT}{path_of(*given, **named)}")
            return result

        return call

    with ExitStack() as stack:
        for owner, name, path_of in PROMISING:
            stack.enter_context(patch.object(owner, name, marked(getattr(owner, name), path_of)))
        yield


@dataclass(frozen=True, slots=True)
class Promise:
    """From `since` up to `until` (positions in the log) this path has this content."""

    since: int
    until: int
    path: str
    content: tuple[str, str, bytes]


def promises(log: DiskLog, folder: Path) -> tuple[Promise, ...]:
    """Of a recording whose folder was `folder`; made once, they hold for its mutants too."""
    found: list[Promise] = []
    image = log.base.copy()
    image.inodes = log.inodes
    for position, op in enumerate(log.operations):
        if not isinstance(op, Mark):
            image.carry_out(op)
        elif op.text.startswith(f"{KEPT}{folder}/"):
            path = op.text.removeprefix(f"{KEPT}{folder}/")
            content = content_of(image, path)
            assert content is not None, f"{path} was promised and is not there"
            found.append(Promise(position, _lapses(log, position, _chain(image, path)), path, content))
    return tuple(found)


def content_of(image: Image, path: str) -> tuple[str, str, bytes] | None:
    """Kind, target of a link, and bytes of a file; of a folder only that it is one."""
    number = image.find(path)
    if number is None:
        return None
    inode = image.inodes[number]
    return inode.kind, inode.target, image.contents.get(number, b"")


def broken(image: Image, due: Sequence[Promise]) -> str:
    """The first promise that a crash state does not keep; "" if it keeps all."""
    for promise in due:
        if content_of(image, promise.path) != promise.content:
            return f"{promise.path} was to stay for good"
    return ""


def without(made: Sequence[Promise], position: int) -> tuple[Promise, ...]:
    """The same promises in a log that lacks one operation."""

    def moved(at: int) -> int:
        return at - (at > position)

    return tuple(replace(one, since=moved(one.since), until=moved(one.until)) for one in made)


def _chain(image: Image, path: str) -> set[tuple[int, str]]:
    """The names that lead to a path."""
    chain, number = set(), ROOT
    for part in path.split("/"):
        chain.add((number, part))
        number = image.names[number][part]
    return chain


def _lapses(log: DiskLog, since: int, chain: set[tuple[int, str]]) -> int:
    for position, op in enumerate(log.operations[since:], start=since):
        if names_of(op) & chain:
            return position
    return len(log.operations)
