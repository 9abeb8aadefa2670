"""Writes a mirror into a folder: what is there already stays, what is unfinished says so (trust 3.5)."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from limosa_contracts.errors import DigestMismatch
from limosa_contracts.mirror import MARKER_FILE, MirrorMarker, blob_file
from limosa_server.errors import NotAMirror
from limosa_server.files import sha256_of, sync_folder

INCOMPLETE: Final = "limosa-mirror.incomplete"
"""Stands in the marker's place while a mirror is being written: a device takes no half of one."""
OWN: Final = ("blobs", "desired", "tuf")  # folders of a mirror, of which the rest is removed


class MirrorFolder:
    """Raises NotAMirror for a folder that holds something else, OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)
        found = {path.name for path in folder.iterdir()}
        if found and not found & {MARKER_FILE, INCOMPLETE}:
            raise NotAMirror("the folder holds something that is no mirror", where=str(folder))
        for path in _strange(folder):
            raise NotAMirror(
                "a mirror holds what is no plain file",
                where=str(path),
                why="it could lead what is written or removed out of the mirror",
            )
        (folder / INCOMPLETE).touch()
        (folder / MARKER_FILE).unlink(missing_ok=True)
        sync_folder(folder)

    def write(self, name: str, data: bytes) -> None:
        path = self._place(name)
        if not _is_plain(path) or path.read_bytes() != data:
            _put(path, iter((data,)))

    def blob(self, sha256: str, size: int, pieces: Callable[[], Iterator[bytes]]) -> bool:
        """Whether it had to be fetched. Raises DigestMismatch."""
        path = self._place(blob_file(sha256))
        if _is_plain(path) and path.stat().st_size == size and sha256_of(path) == sha256:
            return False
        digest = hashlib.sha256()

        def counted() -> Iterator[bytes]:
            for piece in pieces():
                digest.update(piece)
                yield piece
            if digest.hexdigest() != sha256:
                raise DigestMismatch("the server sent another blob than asked for", where=f"sha256:{sha256}")

        _put(path, counted())
        return True

    def finish(self, marker: MirrorMarker) -> None:
        """Removes what an earlier mirror left here, and says that this one is whole."""
        for own in OWN:
            for path in sorted((self._folder / own).rglob("*"), reverse=True):
                _remove_unless(path, self._written)
        _put(self._folder / MARKER_FILE, iter((marker.encode(),)))
        (self._folder / INCOMPLETE).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _place(self, name: str) -> Path:
        path = self._folder / name
        self._written.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _strange(folder: Path) -> Iterator[Path]:
    """Links, pipes and devices where a mirror has folders and files: a stick may be anybody's."""
    for name in (MARKER_FILE, f"{MARKER_FILE}.part", INCOMPLETE):
        if os.path.lexists(folder / name) and not _is_plain(folder / name):
            yield folder / name
    for name in OWN:
        if os.path.lexists(folder / name) and not stat.S_ISDIR((folder / name).lstat().st_mode):
            yield folder / name
            continue
        for place, folders, files in os.walk(folder / name):
            yield from (Path(place) / one for one in folders if (Path(place) / one).is_symlink())
            yield from (Path(place) / one for one in files if not _is_plain(Path(place) / one))


def _put(path: Path, pieces: Iterator[bytes]) -> None:
    """Whole or not at all, on disk on return."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_unless(path: Path, kept: Collection[Path]) -> None:
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            shutil.rmtree(path)
    elif path not in kept:
        path.unlink()


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
