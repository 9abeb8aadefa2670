"""Blobs as files named by their digest; nothing is there before its digest was checked (server 5)."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_contracts.errors import DigestMismatch, TooLarge
from limosa_contracts.names import SHA256_HEX
from limosa_server.errors import StorageFull, UploadUnknown
from limosa_server.files import sync_folder

CHUNK_BYTES: Final = 256 * 1024
UPLOAD_ID_BYTES: Final = 16
UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
STRIPES: Final = 64  # locks that all uploads share
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A blob on its way in."""

    id: str
    size: int


class Blobs:
    """`folder/sha256/ab/abcd…` are blobs, `folder/uploads/<id>` what is still coming in."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._blobs = folder / "sha256"
        self._uploads = folder / "uploads"
        self._max_bytes = max_bytes
        self._locks = tuple(threading.Lock() for _ in range(STRIPES))
        self._naming = threading.Lock()  # a blob gets its name, or loses it
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._uploads.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        if not SHA256_HEX.fullmatch(sha256):
            raise AssertionError("a digest is parsed before it becomes a path")
        return self._blobs / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of the blob, or None if it is not here."""
        with suppress(FileNotFoundError):
            return self.path(sha256).stat().st_size
        return None

    def read(self, sha256: str) -> bytes:
        """For manifests and other small blobs. Raises FileNotFoundError."""
        return self.path(sha256).read_bytes()

    def stream(self, sha256: str, *, start: int, length: int) -> Iterator[bytes]:
        return stream_file(self.path(sha256), start=start, length=length)

    def add(self, data: bytes) -> str:
        """Stores a small blob whole; its sha256."""
        upload = self.begin()
        self.append(upload.id, data)
        sha256 = hashlib.sha256(data).hexdigest()
        self.finish(upload.id, sha256=sha256)
        return sha256

    def begin(self) -> Upload:
        upload_id = secrets.token_hex(UPLOAD_ID_BYTES)
        with _room():
            (self._uploads / upload_id).touch(mode=0o600)
        return Upload(id=upload_id, size=0)

    def upload(self, upload_id: str) -> Upload:
        """Raises UploadUnknown."""
        return Upload(id=upload_id, size=self._upload_path(upload_id).stat().st_size)

    def append(self, upload_id: str, data: bytes) -> int:
        """Bytes it has now. Raises UploadUnknown, TooLarge (the upload is then gone), StorageFull."""
        with self._one_at_a_time(upload_id) as path, _room(), path.open("ab") as file:
            if file.tell() + len(data) > self._max_bytes:
                path.unlink()
                raise TooLarge(
                    "the blob is too large",
                    where="upload",
                    why=f"at most {self._max_bytes} bytes are accepted",
                )
            file.write(data)
            return file.tell()

    def finish(self, upload_id: str, *, sha256: str) -> int:
        """Checks the digest and makes it a blob, durably; its size. Raises UploadUnknown, DigestMismatch,
        StorageFull."""
        with self._one_at_a_time(upload_id) as path, _room():
            got = _sha256_of(path)
            if got != sha256:
                path.unlink()
                raise DigestMismatch(
                    "what was uploaded has another digest",
                    where="upload",
                    why=f"sha256:{got}, announced sha256:{sha256}",
                )
            target = self.path(sha256)
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                sync_folder(self._blobs)
            size = path.stat().st_size
            with self._naming:
                path.replace(target)
            sync_folder(target.parent)
        return size

    def stored(self) -> Iterator[str]:
        """Digests of every blob on disk, whoever refers to it."""
        for folder in sorted(self._blobs.iterdir()):
            for path in sorted(folder.iterdir()):
                if SHA256_HEX.fullmatch(path.name):
                    yield path.name

    def remove(self, sha256: str, *, written_before: float) -> int:
        """Bytes freed. A blob that came in again since then stays: a push of it is under way."""
        path = self.path(sha256)
        with self._naming, suppress(FileNotFoundError):
            facts = path.stat()
            if facts.st_mtime < written_before:
                path.unlink()
                return facts.st_size
        return 0

    def cancel(self, upload_id: str) -> None:
        with self._one_at_a_time(upload_id) as path:
            path.unlink()

    def drop_idle_uploads(self, *, now: float, idle_s: float) -> int:
        """Removes uploads that nobody continued; how many."""
        dropped = 0
        for found in self._uploads.iterdir():
            with suppress(UploadUnknown), self._one_at_a_time(found.name) as path:
                if now - path.stat().st_mtime > idle_s:
                    path.unlink()
                    dropped += 1
        return dropped

    def _upload_path(self, upload_id: str) -> Path:
        path = self._uploads / upload_id
        if not UPLOAD_ID.fullmatch(upload_id) or not path.is_file():
            raise UploadUnknown("there is no such upload", where="upload")
        return path

    @contextmanager
    def _one_at_a_time(self, upload_id: str) -> Iterator[Path]:
        """Two requests may name the same upload. Without this a chunk could still be written to a file
        between the check of its digest and its becoming a blob, or after. Raises UploadUnknown."""
        with self._locks[hash(upload_id) % STRIPES]:
            yield self._upload_path(upload_id)


def stream_file(path: Path, *, start: int, length: int) -> Iterator[bytes]:
    """At most `length` bytes from `start` on, piece by piece."""
    with path.open("rb") as file:
        file.seek(start)
        while length > 0:
            chunk = file.read(min(CHUNK_BYTES, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("there is no room for the blob", why=error.strerror or "") from error
        raise


def _sha256_of(path: Path) -> str:
    """The digest, with the bytes on disk before anybody relies on them."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        os.fsync(file.fileno())
    return digest.hexdigest()
