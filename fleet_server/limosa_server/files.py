"""Files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1024**2


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """tmp, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """Readable by the server's user only."""
    write_atomic(path, data, mode=0o600)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """In hexadecimal; the file is read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
