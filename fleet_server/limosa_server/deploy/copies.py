"""Files copied so that what is there afterwards is whole, and hashed on the way."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from limosa_server.files import CHUNK_BYTES, sync_folder


def copy_file(source: Path, target: Path, *, mode: int = 0o600) -> str:
    """Its sha256. `target` is there whole and durable, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with source.open("rb") as read, os.fdopen(descriptor, "wb") as write:
        while chunk := read.read(CHUNK_BYTES):
            digest.update(chunk)
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    part.replace(target)
    sync_folder(target.parent)
    return digest.hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Regular files in order; a link is no file of ours."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
