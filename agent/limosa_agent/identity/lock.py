"""Who reads the identity does not meet a renewal half way: key of one, certificate of the other (trust 6.2).

A renewal swaps the whole folder by two renames, and between them there is none. The lock is on the folder
above, so it needs no file, and the kernel ends it with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reading(identity_dir: Path) -> Iterator[None]:
    """Waits for a renewal that is being stored just now: milliseconds."""
    with _locked(identity_dir.parent, fcntl.LOCK_SH):
        yield


@contextmanager
def replacing(identity_dir: Path) -> Iterator[None]:
    """Waits until nobody reads it, and nobody else replaces it."""
    with _locked(identity_dir.parent, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield  # there is no state folder yet, or none for this user: nothing to protect
        return
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
