"""Puts a backup back into an empty folder, after every byte of it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import inspect

from limosa_server.assembly import FolderLock
from limosa_server.deploy.backup import METADATA, TRUST, object_path, read_manifest
from limosa_server.deploy.backup_manifest import DATABASE, BackupManifest
from limosa_server.deploy.copies import copy_file
from limosa_server.deploy.database_copy import kind_of, load, looked_at
from limosa_server.errors import BackupFailed
from limosa_server.files import sha256_of
from limosa_server.settings import ServerSettings
from limosa_server.store import Store
from limosa_server.store.engine import shown

MAY_BE_THERE: Final = frozenset({"trust", "lock", "broker"})
"""In the folder that a backup goes to: keys that came another way, and what a start makes anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file of a backup that is not what it was. `path`: "" for a blob."""

    path: str
    sha256: str
    why: str


def damages(folder: Path, manifest: BackupManifest) -> list[Damage]:
    """Reads every byte."""
    wanted = [*manifest.files.items(), *(("", sha256) for sha256 in manifest.blobs)]
    found = []
    for path, sha256 in wanted:
        place = object_path(folder, sha256)
        if place.is_symlink() or not place.is_file():
            found.append(Damage(path=path, sha256=sha256, why="it is missing"))
        elif sha256_of(place) != sha256:
            found.append(Damage(path=path, sha256=sha256, why="its digest is another"))
    return found


def restore(settings: ServerSettings, place: Path | str, folder: Path) -> BackupManifest:
    """The database last: a restore that breaks off is no server that could start. Raises BackupFailed,
    AlreadyRunning."""
    manifest = read_manifest(folder)
    _check_target(settings, place, manifest)
    lock = FolderLock.take(settings.data)
    try:
        _check_empty(settings, place)
        if found := damages(folder, manifest):
            first = found[0]
            raise BackupFailed(
                f"{len(found)} files of the backup are damaged",
                where=str(object_path(folder, first.sha256)),
                why=f"{first.path or 'a blob'}: {first.why}",
                hint="take an older backup; teams can publish releases again",
            )
        for path, sha256 in sorted(manifest.files.items()):
            if path != DATABASE:
                copy_file(object_path(folder, sha256), settings.data / _target_of(path))
        for sha256 in sorted(manifest.blobs):
            target = settings.blobs / "sha256" / sha256[:2] / sha256
            copy_file(object_path(folder, sha256), target)
        load(object_path(folder, manifest.files[DATABASE]), place)
        Store.open(place).close()  # brings an older schema up to this program's
    finally:
        lock.release()
    return manifest


def _target_of(path: str) -> str:
    head, _, rest = path.partition("/")
    if head not in (METADATA, TRUST) or not rest:
        raise BackupFailed("the backup has a file that is none of a server's", where=path)
    return path


def _check_target(settings: ServerSettings, place: Path | str, manifest: BackupManifest) -> None:
    if kind_of(place) != manifest.database:
        raise BackupFailed(
            f"the backup is of {manifest.database}, and {kind_of(place)} is named",
            where="--database",
            hint="put it back into the same kind",
        )
    if not manifest.keys and not (settings.trust / "keys").is_dir():
        raise BackupFailed(
            "the backup has no keys in it, and there are none here",
            where=str(settings.trust),
            hint="copy the server's trust folder back first; new keys need the offline ones",
        )


def _check_empty(settings: ServerSettings, place: Path | str) -> None:
    there = {path.name for path in settings.data.iterdir()} - MAY_BE_THERE
    if there:
        raise BackupFailed(
            "the folder is not empty",
            where=str(settings.data),
            why=f"it holds {', '.join(sorted(there)[:5])}",
            hint="name an empty folder; nothing is overwritten",
        )
    if kind_of(place) != "postgresql":
        return
    with looked_at(place, busy_timeout_s=settings.limits.busy_timeout_s) as engine:
        if inspect(engine).get_table_names():
            raise BackupFailed(
                "the database is not empty", where=shown(engine.url), hint="createdb another, and name that"
            )
