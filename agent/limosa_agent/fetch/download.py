"""One blob from the server to disk: resumed where it stopped, and the digest decides (agent 2.2)."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import BudgetSpent, DiskFull, LengthMismatch, SourceRefused
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.slots import has_digest
from limosa_agent.fetch.source import Response, Source
from limosa_contracts.errors import DigestMismatch
from limosa_contracts.oci import Descriptor

CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Meter:
    """Bytes that came over the network, against the budget of this window; tells how far it is."""

    budget: int | None
    of: int  # bytes of the whole variant
    tell: Callable[[int, int], None]
    done: int = 0  # bytes of the variant that are on disk
    received: int = field(default=0)  # bytes that came over the network

    def came(self, size: int) -> None:
        self.received += size
        self.done += size
        self.tell(self.done, self.of)

    def moved(self, size: int) -> None:
        """What came is no part of the variant itself: a delta."""
        self.received += size

    def was_there(self, size: int) -> None:
        self.done += size

    def check(self) -> None:
        if self.budget is not None and self.received >= self.budget:
            raise BudgetSpent("the byte budget is spent", why=f"{self.budget} bytes in this window")


class BlobDownload:
    """Puts blobs into the store; what has come stays for the next attempt."""

    def __init__(self, source: Source, *, limits: FetchLimits, meter: Meter, disk: Disk = DISK) -> None:
        self._source = source
        self._limits = limits
        self._meter = meter
        self._disk = disk

    def ensure(self, url: str, descriptor: Descriptor, *, part: Path, blob: Path) -> None:
        """`blob` with the size and digest that are listed, for good. Raises TransferError, DiskFull;
        DigestMismatch if the server twice sends something else."""
        if blob.exists():
            if has_digest(blob, descriptor):
                self._meter.was_there(descriptor.size)
                return
            self._disk.remove(blob)  # it rotted: releases that share it are verified at start
        for _ in range(2):  # a torn part of an earlier attempt costs one more download, not the release
            self._complete(url, descriptor, part)
            if has_digest(part, descriptor):
                self._disk.rename(part, blob)
                self._disk.sync_folder(blob.parent)
                return
            self._disk.remove(part)
            self._meter.was_there(-descriptor.size)
        raise DigestMismatch(
            "the server sends other bytes than those listed",
            where=descriptor.filename or descriptor.digest,
            why=f"{descriptor.size} bytes with another digest than {descriptor.digest[:19]}…",
        )

    def _complete(self, url: str, descriptor: Descriptor, part: Path) -> None:
        """A part of the right length; its digest is not looked at."""
        have = part.stat().st_size if part.exists() else 0
        if have > descriptor.size:
            self._disk.remove(part)
            have = 0
        self._meter.was_there(have)
        if have < descriptor.size or descriptor.size == 0:
            self._request(url, descriptor, part, have)

    def _request(self, url: str, descriptor: Descriptor, part: Path, have: int) -> None:
        self._meter.check()
        with self._source.open(url, budget_s=self._limits.blob_budget_s, start=have) as response:
            start = _start_of(response, have, descriptor.size)
            if start is not None:
                if start != have:  # 200 to a Range request: the whole comes, from the beginning
                    self._meter.was_there(-have)
                self._store(response, part, start, descriptor.size)
                return
        # trust 3.4: a range that was not asked for restarts safely
        self._meter.was_there(-have)
        self._disk.remove(part)
        with self._source.open(url, budget_s=self._limits.blob_budget_s) as response:
            if _start_of(response, 0, descriptor.size) is None:
                raise SourceRefused("the server sends another range than asked", where=url)
            self._store(response, part, 0, descriptor.size)

    def _store(self, response: Response, part: Path, start: int, size: int) -> None:
        if response.length is not None and response.length != size - start:
            raise LengthMismatch(
                "a blob has another length than listed",
                where=response.url,
                why=f"{response.length} bytes announced, {size - start} are missing",
            )
        written = start
        with appending(part, start) as file:
            for chunk in response.chunks():
                written += len(chunk)
                if written > size:
                    raise LengthMismatch("a blob does not end", where=response.url, why=f"{size} are listed")
                file.write(chunk)
                self._meter.came(len(chunk))
                if written < size:
                    self._meter.check()
        if written < size:
            raise LengthMismatch("a blob was cut off", where=response.url, why=f"{written} of {size} bytes")


@contextmanager
def appending(part: Path, start: int) -> Iterator[_Part]:
    """The part from byte `start` on; synced however it ends, so that a resume builds on what is there."""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, start)
        os.lseek(descriptor, start, os.SEEK_SET)
        yield _Part(descriptor, part)
    finally:
        os.fsync(descriptor)
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Part:
    descriptor: int
    path: Path

    def write(self, data: bytes | bytearray) -> None:
        """All of it. Raises DiskFull, and then gives back the space of the part: a device whose disk
        is full must still be able to write its journal."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            os.ftruncate(self.descriptor, 0)
            self.path.unlink(missing_ok=True)
            raise DiskFull("the disk is full", where=str(self.path), why=str(error)) from error


def _start_of(response: Response, asked: int, size: int) -> int | None:
    """The byte at which the body begins; None if it is of no use as it is. Raises SourceRefused."""
    if response.status == 200:
        return 0
    if response.status == 206:
        found = CONTENT_RANGE.fullmatch(response.content_range)
        right = found is not None and (int(found[1]), int(found[2])) == (asked, size - 1)
        return asked if right and found is not None and found[3] in (str(size), "*") else None
    if response.status == 416 and asked:
        return None
    raise SourceRefused("the server does not send a blob", where=response.url, why=f"HTTP {response.status}")
