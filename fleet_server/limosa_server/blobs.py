"""Blobs as files named by their digest; nothing is there before its digest was checked (server 5)."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_contracts.errors import DigestMismatch, TooLarge
from limosa_contracts.names import SHA256_HEX
from limosa_server.errors import UploadUnknown
from limosa_server.files import sync_folder

CHUNK_BYTES: Final = 256 * 1024
UPLOAD_ID_BYTES: Final = 16


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
        with self.path(sha256).open("rb") as file:
            file.seek(start)
            while length > 0:
                chunk = file.read(min(CHUNK_BYTES, length))
                if not chunk:
                    return
                length -= len(chunk)
                yield chunk

    def add(self, data: bytes) -> str:
        """Stores a small blob whole; its sha256."""
        upload = self.begin()
        self.append(upload.id, data)
        sha256 = hashlib.sha256(data).hexdigest()
        self.finish(upload.id, sha256=sha256)
        return sha256

    def begin(self) -> Upload:
        upload_id = secrets.token_hex(UPLOAD_ID_BYTES)
        (self._uploads / upload_id).touch(mode=0o600)
        return Upload(id=upload_id, size=0)

    def upload(self, upload_id: str) -> Upload:
        """Raises UploadUnknown."""
        return Upload(id=upload_id, size=self._upload_path(upload_id).stat().st_size)

    def append(self, upload_id: str, data: bytes) -> int:
        """Bytes it has now. Raises UploadUnknown, TooLarge (the upload is then gone)."""
        path = self._upload_path(upload_id)
        with path.open("ab") as file:
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
        """Checks the digest and makes it a blob, durably; its size. Raises UploadUnknown, DigestMismatch."""
        path = self._upload_path(upload_id)
        got = _sha256_of(path)
        if got != sha256:
            path.unlink()
            raise DigestMismatch(
                "what was uploaded has another digest",
                where="upload",
                why=f"sha256:{got}, announced sha256:{sha256}",
            )
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        size = path.stat().st_size
        path.replace(target)
        sync_folder(target.parent)
        return size

    def cancel(self, upload_id: str) -> None:
        self._upload_path(upload_id).unlink()

    def drop_idle_uploads(self, *, now: float, idle_s: float) -> int:
        """Removes uploads that nobody continued; how many."""
        dropped = 0
        for path in self._uploads.iterdir():
            with suppress(FileNotFoundError):  # it was finished while we looked
                if now - path.stat().st_mtime > idle_s:
                    path.unlink()
                    dropped += 1
        return dropped

    def _upload_path(self, upload_id: str) -> Path:
        path = self._uploads / upload_id
        if not upload_id.isalnum() or not upload_id.isascii() or not path.is_file():
            raise UploadUnknown("there is no such upload", where="upload")
        return path


def _sha256_of(path: Path) -> str:
    """The digest, with the bytes on disk before anybody relies on them."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        os.fsync(file.fileno())
    return digest.hexdigest()
