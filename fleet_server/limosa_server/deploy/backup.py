"""Writes a backup of a server that may be running; into a folder that may hold an older one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlmodel import select

from limosa_contracts.errors import LimosaError
from limosa_server.deploy.backup_manifest import DATABASE, MANIFEST, BackupManifest
from limosa_server.deploy.copies import copy_file, files_below
from limosa_server.deploy.database_copy import dump, kind_of, looked_at, revision_of
from limosa_server.errors import BackupFailed
from limosa_server.files import sha256_of, write_private
from limosa_server.settings import ServerSettings
from limosa_server.store.migrate import head
from limosa_server.store.transaction import Transaction
from limosa_server.tables.releases import RepositoryBlob
from limosa_server.trust.trust_folder import TrustFolder

METADATA: Final = "tuf"
TRUST: Final = "trust"
OBJECTS: Final = "objects"
"""Every file under its digest, so that a backup that breaks off changes nothing of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    manifest: BackupManifest
    copied: int  # blobs that the folder did not have yet
    missing: tuple[str, ...]  # blobs that the database names and the server does not have


def make_backup(
    settings: ServerSettings, place: Path | str, folder: Path, *, keys: bool, now: float
) -> Backup:
    """The manifest is written last: until then the backup before is the one that is there.

    Raises BackupFailed, TrustFolderIncomplete, StoreDown.
    """
    if isinstance(place, Path) and not place.exists():
        raise BackupFailed(
            "there is no database",
            where=str(place),
            hint="give --data, and --database, as for limosa server run",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = read_manifest(folder) if (folder / MANIFEST).exists() else None
    busy_s = settings.limits.busy_timeout_s
    with looked_at(place, busy_timeout_s=busy_s) as engine:
        revision = _revision(engine)
        files = _database(place, folder)
        blobs = _blobs_named(engine)  # after the copy: what it names is among these
    files |= _tree(settings.data / "tuf", folder, METADATA)
    if keys:
        files |= _tree(settings.trust, folder, TRUST)
    copied, missing = _blobs(settings, folder, blobs)
    manifest = BackupManifest(
        made_at=now,
        revision=revision,
        database=kind_of(place),
        epoch=TrustFolder(settings.trust).epoch(),
        keys=keys,
        files=files,
        blobs={name: size for name, size in sorted(blobs.items()) if name not in missing},
    )
    write_private(folder / MANIFEST, manifest.encode())
    _drop_old(folder, before, manifest)
    return Backup(manifest=manifest, copied=copied, missing=missing)


def read_manifest(folder: Path) -> BackupManifest:
    """Raises BackupFailed."""
    path = folder / MANIFEST
    try:
        return BackupManifest.parse(path.read_bytes())
    except (OSError, LimosaError) as error:
        raise BackupFailed("there is no backup here", where=str(path), why=str(error)) from error


def _revision(engine: Engine) -> str:
    """Nothing is upgraded here: a server of an older version may be at work."""
    revision = revision_of(engine)
    if revision != head():
        raise BackupFailed(
            "the database is of another version than this program",
            why=f"its schema is {revision or 'empty'}, this program's {head()}",
            hint="use the program that the server runs",
        )
    return revision


def _blobs_named(engine: Engine) -> dict[str, int]:
    with Transaction(engine, autoflush=False) as tx:
        return dict(tx.exec(select(RepositoryBlob.sha256, RepositoryBlob.size)).all())


def _database(place: Path | str, folder: Path) -> dict[str, str]:
    part = folder / f".{DATABASE}.part"
    part.unlink(missing_ok=True)
    try:
        dump(place, part)
        return {DATABASE: keep(part, folder)}
    finally:
        part.unlink(missing_ok=True)


def _tree(source: Path, folder: Path, name: str) -> dict[str, str]:
    return {f"{name}/{path.relative_to(source)}": keep(path, folder) for path in files_below(source)}


def keep(source: Path, folder: Path) -> str:
    """Puts a file into the backup under its digest; that."""
    sha256 = sha256_of(source)
    target = object_path(folder, sha256)
    if not target.exists() and copy_file(source, target) != sha256:
        target.unlink()
        raise BackupFailed("a file changed while it was copied", where=str(source), hint="try again")
    return sha256


def object_path(folder: Path, sha256: str) -> Path:
    return folder / OBJECTS / sha256[:2] / sha256


def _blobs(settings: ServerSettings, folder: Path, blobs: dict[str, int]) -> tuple[int, tuple[str, ...]]:
    """Blobs never change: one that is there with its size is not copied again; `check` reads them all."""
    copied, missing = 0, []
    for sha256, size in sorted(blobs.items()):
        source = settings.blobs / "sha256" / sha256[:2] / sha256
        target = object_path(folder, sha256)
        if target.exists() and target.stat().st_size == size:
            continue
        if not source.exists() or copy_file(source, target) != sha256:
            target.unlink(missing_ok=True)
            missing.append(sha256)
            continue
        copied += 1
    return copied, tuple(missing)


def _drop_old(folder: Path, before: BackupManifest | None, now: BackupManifest) -> None:
    """What only the backup before named, after the new manifest is durable."""
    if before is None:
        return
    for sha256 in before.objects - now.objects:
        object_path(folder, sha256).unlink(missing_ok=True)
