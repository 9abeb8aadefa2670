"""A mirror in a folder, as a rule on a stick that anybody may have written (trust 3.5, 7.1).

Nothing in it is believed: what is read is checked by signature or digest as if a server had sent it.
Here is only what a file system adds: links, pipes, devices and folders are not read, and no name leads
out of the mirror.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_agent.fetch.errors import MirrorRefused, SourceRefused, TooSlow
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.source import Response, Source
from limosa_contracts.errors import LimosaError, LinkLost
from limosa_contracts.limits import LIMITS
from limosa_contracts.mirror import MARKER_FILE, MirrorMarker, desired_file

CHUNK_BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_DIGEST: Final = re.compile(r"v2/[a-z0-9._/-]+/(?:blobs|manifests)/sha256:([0-9a-f]{64})")
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_HOSTILE: Final = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR)  # what O_NOFOLLOW and pipes say


class MirrorSource(Source):
    def __init__(self, limits: FetchLimits, folder: Path) -> None:
        super().__init__(limits)
        self.folder = folder
        self.base = folder.as_uri()

    @contextmanager
    def open(self, url: str, *, budget_s: float, start: int = 0) -> Iterator[Response]:
        """A file as the server's answer; 404 for what is not there. Raises MirrorRefused, LinkLost."""
        names = self._names(url)
        found = _open(self.folder, names) if names else None
        if found is None:
            yield Response(url=url, status=404, length=0, body=lambda: iter(()))
            return
        descriptor, size = found
        try:
            body = _Body(url, descriptor, start, size, time.monotonic() + budget_s)
            if start > size:
                yield Response(url=url, status=416, length=0, body=lambda: iter(()))
            else:
                yield Response(
                    url=url,
                    status=206 if start else 200,
                    length=size - start,
                    content_range=f"bytes {start}-{size - 1}/{size}" if start else "",
                    body=body.chunks,
                )
        finally:
            os.close(descriptor)

    def marker(self) -> MirrorMarker:
        """What the mirror says of itself; nothing is believed for it. Raises MirrorRefused."""
        url = f"{self.base}/{MARKER_FILE}"
        try:
            data = self.read(url, max_bytes=LIMITS.document_max_bytes)
        except SourceRefused as error:
            raise MirrorRefused(
                "this is no mirror", where=str(self.folder), why=f"it has no {MARKER_FILE}"
            ) from error
        try:
            return MirrorMarker.parse(data)
        except LimosaError as error:
            raise MirrorRefused("this is no mirror", where=url, why=str(error)) from error

    def desired(self, device: str) -> bytes | None:
        """The desired document of a device, as the director signed it; None if there is none."""
        try:
            return self.read(
                f"{self.base}/{desired_file(device)}", max_bytes=2 * LIMITS.mqtt_message_max_bytes
            )
        except SourceRefused:
            return None

    def _names(self, url: str) -> Sequence[str]:
        """The path of a file within the mirror; nothing for what a mirror cannot have."""
        path = url.removeprefix(f"{self.base}/")
        if path == url or "?" in path:
            return ()  # a delta is made on demand: a mirror has none
        digest = _DIGEST.fullmatch(path)
        names = ("blobs", "sha256", digest[1]) if digest else tuple(path.split("/"))
        return names if all(_NAME.fullmatch(name) for name in names) else ()


@dataclass(frozen=True, slots=True)
class _Body:
    url: str
    descriptor: int
    start: int
    size: int
    deadline: float

    def chunks(self) -> Iterator[bytes]:
        """No more than the size that the file had when it was opened."""
        at = self.start
        while at < self.size:
            if time.monotonic() >= self.deadline:
                raise TooSlow("a mirror is too slow", where=self.url)
            try:
                chunk = os.pread(self.descriptor, min(CHUNK_BYTES, self.size - at), at)
            except OSError as error:  # pulled out, or worn out
                raise LinkLost("a mirror cannot be read", where=self.url, why=str(error)) from error
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def _open(folder: Path, names: Sequence[str]) -> tuple[int, int] | None:
    """(descriptor, size) of a regular file, reached without following a link; None if it is not there."""
    here = -1
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        for name in names[:-1]:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return _open_file(here, names[-1], where=str(folder.joinpath(*names)))
    except OSError as error:
        where = str(folder.joinpath(*names))
        # A folder that is a link is ENOTDIR here: it is looked at once more to tell it from an absent one.
        if error.errno in _HOSTILE or _through_link(folder, names):
            raise MirrorRefused("a mirror holds what is no plain file", where=where) from error
        if error.errno in _ABSENT:
            return None
        raise LinkLost("a mirror cannot be read", where=where, why=str(error)) from error
    finally:
        if here >= 0:
            os.close(here)


def _open_file(folder: int, name: str, *, where: str) -> tuple[int, int]:
    """O_NONBLOCK: a pipe without a writer would be waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    before = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(before.st_mode):  # before it is opened: opening a device may do something
        raise MirrorRefused("a mirror holds what is no plain file", where=where)
    descriptor = os.open(name, flags, dir_fd=folder)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise MirrorRefused("a mirror holds what is no plain file", where=where)
    return descriptor, facts.st_size


def _through_link(folder: Path, names: Sequence[str]) -> bool:
    paths = [folder, *(folder.joinpath(*names[: i + 1]) for i in range(len(names)))]
    return any(path.is_symlink() for path in paths)
