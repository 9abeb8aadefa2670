"""File operations that survive a loss of power; everything that fetch writes goes through `Disk`.

The rule of agent 3: write to a temporary name, fsync the file, rename, fsync the folder.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".new"
"""Suffix of names that a loss of power may leave behind; whoever finds one may remove it."""

NO_HARD_LINKS: Final = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


class Disk:
    """The operations whose order matters, one method each, so that a test can stop after any of them."""

    def make_folder(self, path: Path) -> None:
        """Also its parents, each durable in its own parent."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(path.parent)

    def write(self, path: Path, data: bytes) -> None:
        """A whole file, synced; the name is durable only after `sync_folder`."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        """A second name for the bytes of a blob; a copy where the file system has no hard links."""
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            from shutil import copyfile  # 0.6 MB with its archive formats: only where it must be

            copyfile(source, target)
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def symlink(self, text: str, link: Path) -> None:
        link.symlink_to(text)

    def remove(self, path: Path) -> None:
        """A file, a link or a whole folder; nothing if it is not there."""
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                for entry in entries:
                    self.remove(path / entry.name)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def replace_file(self, path: Path, data: bytes) -> None:
        """Old bytes or new bytes under `path` at any moment, new ones for good on return."""
        temporary = path.with_name(path.name + TEMPORARY)
        self.write(temporary, data)
        self.rename(temporary, path)
        self.sync_folder(path.parent)

    def replace_link(self, link: Path, text: str) -> None:
        """The same for a symbolic link."""
        temporary = link.with_name(link.name + TEMPORARY)
        self.remove(temporary)
        self.symlink(text, temporary)
        self.rename(temporary, link)
        self.sync_folder(link.parent)


DISK: Final = Disk()
