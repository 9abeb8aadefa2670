"""All states in which a loss of power may leave a folder, given what was done to it and what was synced.

Two models. *Journal* (like ext4 in its default mode): operations on names become durable in their order, an
fsync takes along whatever came before the last change of its inode; bytes that were not synced are
there, not there or torn. *Adversary* (no more than POSIX says): each operation on a name is durable or
not by itself until its folder is synced, each write until its file is; a size may come without its
bytes. A rename is atomic in the first; in the second only within one folder, across two the new name and
the old one come and go by themselves.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from tests.crash.disk_log import (
    Bytes,
    DiskLog,
    Enter,
    Image,
    Link,
    Mark,
    Naming,
    Rename,
    Resize,
    Sync,
    Unlink,
    Write,
    changed,
    names_of,
)
from tests.crash.kept import KEPT, Promise, broken

ALL_SUBSETS_UP_TO: Final = 6  # pending operations on names of which every subset is tried
SAMPLES: Final = 12  # subsets drawn by chance above that, per crash point


@dataclass(frozen=True, slots=True)
class CrashState:
    """`marks` is what the program had promised before the power went."""

    image: Image
    marks: frozenset[str]
    after: int  # operations that had been carried out
    broken: str  # which promise of `kept` it does not keep, "" for none
    key: bytes  # equal for equal trees with equal marks


@dataclass(frozen=True, slots=True)
class _Point:
    """What is known at one moment. Positions are of the log's operations."""

    names: Sequence[tuple[int, Naming]]
    synced: Mapping[int, int]  # inode -> position of its last sync
    byte_ops: Mapping[int, Sequence[tuple[int, Bytes]]]  # inode -> its writes, in order
    last_sync: int
    touched: Mapping[int, int]  # inode -> position of the last operation that changed it, before its sync


def crash_states(log: DiskLog, made: Sequence[Promise] = ()) -> Iterator[CrashState]:
    """Each state once, in the order of the crash points."""
    seen: set[bytes] = set()
    tried: set[object] = set()
    chance = random.Random(7)
    digests: dict[bytes, bytes] = {}
    for after in range(len(log.operations) + 1):
        texts = (op.text for op in log.operations[:after] if isinstance(op, Mark))
        marks = frozenset(text for text in texts if not text.startswith(KEPT))
        due = tuple(promise for promise in made if promise.since < after <= promise.until)
        for names, contents in _choices(log, _point(log, after), chance):
            choice = (
                marks,
                due,
                names,
                tuple((inode, _digest(contents[inode], digests)) for inode in contents),
            )
            if choice in tried:
                continue
            tried.add(choice)
            image = _apply(log, names, contents)
            wrong = broken(image, due)
            key = _key(image, (*sorted(marks), wrong), digests)
            if key not in seen:
                seen.add(key)
                yield CrashState(image, marks, after, wrong, key)


def _digest(data: bytes, digests: dict[bytes, bytes]) -> bytes:
    if data not in digests:
        digests[data] = hashlib.sha256(data).digest()
    return digests[data]


def _point(log: DiskLog, after: int) -> _Point:
    names: list[tuple[int, Naming]] = []
    synced: dict[int, int] = {}
    byte_ops: dict[int, list[tuple[int, Bytes]]] = {}
    changed_at: dict[int, int] = {}
    floor = -1
    for position, op in enumerate(log.operations[:after]):
        if isinstance(op, Sync):
            synced[op.inode] = position
            floor = max(floor, changed_at.get(op.inode, -1))
        elif isinstance(op, (Write, Resize)):
            byte_ops.setdefault(op.inode, []).append((position, op))
            changed_at[op.inode] = position
        elif not isinstance(op, Mark):
            names.append((position, op))
            for inode in _inodes_of(op):
                changed_at[inode] = position
    return _Point(names, synced, byte_ops, floor, changed_at)


def _inodes_of(op: Naming) -> Iterator[int]:
    yield op.folder
    if isinstance(op, Rename):
        yield op.from_folder
    if not isinstance(op, Unlink):
        yield op.inode


Names = tuple[tuple[int, Naming], ...]
"""Operations on names that are durable; of a rename across folders perhaps only the new name (a Link)."""


def _choices(log: DiskLog, point: _Point, chance: random.Random) -> Iterator[tuple[Names, dict[int, bytes]]]:
    contents = [{inode: how[name] for inode, how in _contents(log, point).items()} for name in WHOLE]
    for names, data in product(_journal_names(point), contents[:3]):
        yield names, data
    for names, data in product(_adversary_names(point, chance), contents):
        yield names, data
    everything: Names = tuple(point.names)
    every = contents[1]
    for inode, how in _contents(log, point).items():
        for content in how.values():  # one file as it may be, the others whole; or the reverse
            yield everything, {**every, inode: content}
        yield everything, {**contents[0], inode: how["all"]}


WHOLE: Final = ("none", "all", "torn", "zeros")
"""Ways in which the bytes of all files that were not synced may be found."""


def _contents(log: DiskLog, point: _Point) -> dict[int, dict[str, bytes]]:
    """Every file that was written to -> what may be found in it, by the name of the way."""
    found: dict[int, dict[str, bytes]] = {}
    for inode, operations in point.byte_ops.items():
        durable = log.base.contents.get(inode, b"")
        pending: list[Bytes] = []
        for position, op in operations:
            if position < point.synced.get(inode, -1):
                durable = changed(durable, op)
            else:
                pending.append(op)
        found[inode] = _ways(durable, pending)
    return found


def _ways(durable: bytes, pending: Sequence[Bytes]) -> dict[str, bytes]:
    ways = dict.fromkeys(WHOLE, durable)
    for number, op in enumerate(pending):
        ways["all"] = changed(ways["all"], op)
        ways["zeros"] = changed(ways["zeros"], _zeros(op))
        ways["torn"] = changed(ways["torn"], op if number < len(pending) - 1 else _half(op))
    for left_out in range(len(pending) if len(pending) > 1 else 0):
        data = durable
        for number, op in enumerate(pending):
            data = data if number == left_out else changed(data, op)
        ways[f"without {left_out}"] = data
    return ways


def _zeros(op: Bytes) -> Bytes:
    return Write(op.inode, op.offset, bytes(len(op.data))) if isinstance(op, Write) else op


def _half(op: Bytes) -> Bytes:
    return Write(op.inode, op.offset, op.data[: len(op.data) // 2]) if isinstance(op, Write) else op


def _journal_names(point: _Point) -> Iterator[Names]:
    """Every prefix that is not shorter than what a sync took along."""
    for end in range(len(point.names) + 1):
        if end < len(point.names) and point.names[end][0] <= point.last_sync:
            continue
        yield tuple(point.names[:end])


def _adversary_names(point: _Point, chance: random.Random) -> Iterator[Names]:
    forced, pending = _split(point)
    for chosen in _subsets(len(pending), chance):
        picked = set(chosen)
        for number in range(len(pending) - 1, -1, -1):  # what changes a name needs what changed it before
            if number in picked:
                mine = names_of(pending[number][1])
                picked |= {n for n in range(number) if names_of(pending[n][1]) & mine}
        durable = [*forced, *(pending[number] for number in picked)]
        yield tuple(sorted(durable, key=lambda one: one[0]))


def _split(point: _Point) -> tuple[list[tuple[int, Naming]], list[tuple[int, Naming]]]:
    """What is durable, and what may be or not; a rename across folders as its two halves."""
    forced: list[tuple[int, Naming]] = []
    pending: list[tuple[int, Naming]] = []
    for position, op in point.names:
        halves: Sequence[Naming] = (op,)
        if isinstance(op, Rename) and op.from_folder != op.folder:
            halves = (Link(op.folder, op.name, op.inode), Unlink(op.from_folder, op.from_name))
        for half in halves:
            synced = point.synced.get(half.folder, -1) > position
            (forced if synced else pending).append((position, half))
    return forced, pending


def _subsets(count: int, chance: random.Random) -> Iterator[set[int]]:
    """Of `count` things: all subsets where they are few; else none, all, single ones, all but one,
    beginnings, and some by chance."""
    if count <= ALL_SUBSETS_UP_TO:
        for bits in range(1 << count):
            yield {number for number in range(count) if bits >> number & 1}
        return
    everything = set(range(count))
    yield set()
    yield everything
    for number in range(count):
        yield {number}
        yield everything - {number}
        yield set(range(number))
    for _ in range(SAMPLES):
        yield {number for number in range(count) if chance.random() < 0.5}


def _apply(log: DiskLog, names: Names, contents: Mapping[int, bytes]) -> Image:
    image = log.base.copy()
    image.inodes = log.inodes
    for _, op in names:
        if isinstance(op, Enter) and log.inodes[op.inode].kind == "folder":
            image.names.setdefault(op.inode, {})
        image.name(op)
    image.contents.update(contents)
    return image


def _key(image: Image, said: Sequence[str], digests: dict[bytes, bytes]) -> bytes:
    whole = hashlib.sha256(repr(said).encode())
    for path, number in image.files():
        inode = image.inodes[number]
        digest = _digest(image.contents.get(number, b""), digests)
        whole.update(f"{path}\0{inode.kind}\0{inode.target}\0".encode() + digest)
    return whole.digest()
