"""Slots of one model on disk: which release is current, is it whole, what may be removed (agent 3).

`model_dir` is always `models/<team>/<model>` of the state folder, a release is named by the sha256 of
its variant's manifest. Light: the supervisor imports this.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.paths import ModelPaths, StatePaths
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import MODEL, SHA256_HEX, VERSION
from limosa_contracts.oci import Descriptor, Manifest
from limosa_contracts.promise import VariantPromise

MANIFEST_FILE: Final = "manifest.json"
RELEASE_FILE: Final = "release.json"
TRASH: Final = ".trash"
SCHEMA: Final = "limosa.slot/1"
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledRelease:
    """`release.json`: what was verified when the release was installed."""

    model: str
    version: str
    index_sha256: str
    manifest_sha256: str
    variant: str
    release_counter: int
    may_return_to: tuple[str, ...]
    size_bytes: int  # of all files of the variant
    promise: VariantPromise = field(default_factory=VariantPromise)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields(
            parse_object(data, what=RELEASE_FILE, max_bytes=LIMITS.manifest_max_bytes), where="release"
        )
        fields.schema(SCHEMA)
        return cls(
            model=fields.text("model", pattern=MODEL),
            version=fields.text("version", pattern=VERSION),
            index_sha256=fields.text("index_sha256", pattern=SHA256_HEX),
            manifest_sha256=fields.text("manifest_sha256", pattern=SHA256_HEX),
            variant=fields.text("variant", max_chars=255),
            release_counter=fields.integer("release_counter", low=1),
            may_return_to=fields.texts("may_return_to", pattern=VERSION, max_items=64),
            size_bytes=fields.integer("size_bytes", low=0),
            promise=fields.optional(
                "promise", lambda n: VariantPromise.parse(fields.raw(n), where=fields.at(n)), VariantPromise()
            ),
        )

    def encode(self) -> bytes:
        promise = self.promise.as_json()
        said: dict[str, JsonValue] = {"promise": promise} if promise else {}
        return encode_canonical(
            {
                **said,
                "schema": SCHEMA,
                "model": self.model,
                "version": self.version,
                "index_sha256": self.index_sha256,
                "manifest_sha256": self.manifest_sha256,
                "variant": self.variant,
                "release_counter": self.release_counter,
                "may_return_to": list(self.may_return_to),
                "size_bytes": self.size_bytes,
            }
        )


def switch_current(model_dir: Path, sha: str, *, disk: Disk = DISK) -> None:
    """Makes `current` point to a release, durable on return (agent 3, line 6). Idempotent."""
    paths = ModelPaths(model_dir)
    if not SHA256_HEX.fullmatch(sha) or not paths.release(sha).is_dir():
        raise ReleaseBroken(f"there is no release {sha[:12]} to switch to", where=str(model_dir))
    disk.replace_link(paths.current, f"{paths.releases.name}/{sha}")


def read_current(model_dir: Path) -> str | None:
    """The release that `current` points to; None if there is no link, or it leads to no release."""
    paths = ModelPaths(model_dir)
    try:
        target = paths.current.readlink()
    except OSError:
        return None
    sha = target.name
    if target != Path(paths.releases.name, sha) or not SHA256_HEX.fullmatch(sha):
        return None
    return sha if paths.release(sha).is_dir() else None


def clear_current(model_dir: Path, *, disk: Disk = DISK) -> None:
    """Takes the link away: the model shall be absent."""
    paths = ModelPaths(model_dir)
    if paths.current.is_symlink():
        disk.remove(paths.current)
        disk.sync_folder(model_dir)


def installed(model_dir: Path) -> tuple[str, ...]:
    """The releases of a model that are on this disk, whole or not."""
    with suppress(FileNotFoundError):
        names = sorted(path.name for path in ModelPaths(model_dir).releases.iterdir())
        return tuple(name for name in names if SHA256_HEX.fullmatch(name))
    return ()


def verify_release(model_dir: Path, sha: str) -> InstalledRelease:
    """What is installed as `sha`, if each of its files still has its digest. Raises ReleaseBroken.

    Reads every byte, in pieces. Signatures were checked at installation: the digest of the manifest,
    which the caller trusts, covers them.
    """
    folder = ModelPaths(model_dir).release(sha)
    try:
        manifest_bytes = _read_small(folder / MANIFEST_FILE)
        if hashlib.sha256(manifest_bytes).hexdigest() != sha:
            raise ReleaseBroken("a release's manifest has changed", where=str(folder))
        release = InstalledRelease.parse(_read_small(folder / RELEASE_FILE))
        for layer in Manifest.parse(manifest_bytes).layers:
            if not has_digest(folder / layer.filename, layer):
                raise ReleaseBroken(f"file {layer.filename!r} of a release has changed", where=str(folder))
    except ReleaseBroken:
        raise
    except (OSError, LimosaError) as error:
        raise ReleaseBroken("a release cannot be read", where=str(folder), why=str(error)) from error
    if release.manifest_sha256 != sha:
        raise ReleaseBroken("a release is filed under another digest", where=str(folder))
    return release


def has_digest(path: Path, descriptor: Descriptor) -> bool:
    """Whether a regular file has the size and digest that are listed. Raises OSError."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        if os.fstat(file.fileno()).st_size != descriptor.size:
            return False
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == descriptor.sha256


def collect(model_dir: Path, keep: Collection[str], *, disk: Disk = DISK) -> tuple[str, ...]:
    """Removes the releases outside `keep` (agent 3, line 9), and blobs that no release has any more.

    What `current` points to is never removed. Returns what was removed. Blobs stay while a download
    runs, which may be about to use them.
    """
    paths = ModelPaths(model_dir)
    kept = {*keep, read_current(model_dir)}
    gone = tuple(sha for sha in installed(model_dir) if sha not in kept)
    if gone:
        disk.make_folder(paths.staging)
    for sha in gone:
        trash = paths.staging / f"{sha}{TRASH}"
        disk.remove(trash)
        disk.rename(paths.release(sha), trash)  # a release is whole or not there, also during removal
    if gone:
        disk.sync_folder(paths.releases)
    if paths.staging.is_dir():
        for trash in paths.staging.glob(f"*{TRASH}"):
            disk.remove(trash)
    _collect_graphs(paths, disk)
    with try_lock(paths.state) as held:
        if held:
            _collect_blobs(paths.state, disk)
    return gone


def clear_staging(model_dir: Path, *, disk: Disk = DISK) -> bool:
    """Removes what is left of a download that goes on no more. Whether there was anything; nothing is
    removed while a fetch child of any model runs."""
    paths = ModelPaths(model_dir)
    with try_lock(paths.state) as held:
        left = list(paths.staging.iterdir()) if held and paths.staging.is_dir() else []
        for path in left:
            disk.remove(path)
    return bool(left)


@contextmanager
def try_lock(state: StatePaths) -> Iterator[bool]:
    """Whether this process now is the only one that adds or removes blobs. The kernel ends the lock
    with the process."""
    descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _collect_graphs(paths: ModelPaths, disk: Disk) -> None:
    """Optimised graphs go with their release (agent 5.3)."""
    if paths.graphs.is_dir():
        kept = installed(paths.folder)
        for folder in sorted(paths.graphs.iterdir()):
            if folder.name not in kept:
                disk.remove(folder)


def _collect_blobs(state: StatePaths, disk: Disk) -> None:
    if not state.blobs.is_dir():
        return
    used: set[str] = set()
    for manifest in state.models.glob(f"*/*/releases/*/{MANIFEST_FILE}"):
        try:
            used.update(layer.sha256 for layer in Manifest.parse(_read_small(manifest)).layers)
        except (OSError, LimosaError):
            continue  # a broken release keeps nothing: it has to be fetched again anyway
    for blob in state.blobs.iterdir():
        if blob.name not in used:
            disk.remove(blob)


def _read_small(path: Path) -> bytes:
    """At most one byte more than any manifest may have, so that parsing refuses what is larger."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(LIMITS.manifest_max_bytes + 1)
