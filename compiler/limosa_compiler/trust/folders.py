"""Files that must survive a loss of power, and private keys that nobody else may read."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from limosa_contracts.errors import SystemRefused

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


@contextmanager
def refusals(path: Path, what: str) -> Iterator[None]:
    """Turns the operating system's no into a coded error that names the path."""
    try:
        yield
    except OSError as error:
        raise SystemRefused(
            f"cannot {what}",
            where=str(error.filename or path),
            why=error.strerror or type(error).__name__,
            hint="check that the folder exists, that you may write to it, and that the disk is not full",
        ) from error


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """At most `max_bytes + 1` bytes: who parses them refuses the one too many."""
    with refusals(path, "read a file"), path.open("rb") as file:
        return file.read(max_bytes + 1)


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Old bytes or new bytes, never a mixture: tmp, fsync, rename, fsync of the folder (trust 3.2)."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with refusals(path, "write a file"):
        try:
            _write_new(draft, data, mode=mode)
            draft.replace(path)
            sync_folder(path.parent)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def remove_durably(path: Path) -> None:
    with refusals(path, "remove a file"):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def create_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Makes `folder` with all of `files` (relative path -> bytes), or nothing at all.

    `folder` may exist only if it is empty. Folders are 0700; `*.pem` are keys and 0600.
    """
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    with refusals(folder, "make a folder of keys"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.mkdir(mode=PRIVATE_FOLDER)
            for name, data in files.items():
                _private_parents(draft, Path(name).parent)
                _write_new(draft / name, data, mode=PRIVATE_FILE if name.endswith(".pem") else 0o644)
            for path in [draft, *(p for p in draft.rglob("*") if p.is_dir())]:
                sync_folder(path)
            draft.replace(folder)
            sync_folder(folder.parent)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time; others wait. The lock ends with the process, however it ends."""
    with refusals(folder, "lock a folder"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_free(folder: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    with refusals(folder, "look into a folder"):
        return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private_parents(root: Path, relative: Path) -> None:
    for depth in range(len(relative.parts)):
        (root / Path(*relative.parts[: depth + 1])).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
