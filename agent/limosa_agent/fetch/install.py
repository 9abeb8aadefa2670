"""A resolved variant onto this disk: agent 3, lines 0 to 4. A stop anywhere leaves the old or the new."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from limosa_agent.fetch.delta import DeltaDownload, Savings, bases_of
from limosa_agent.fetch.disk_use import check_room
from limosa_agent.fetch.download import BlobDownload, Meter
from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.fetch.errors import BudgetSpent, ReleaseBroken
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.paths import ModelPaths, StatePaths
from limosa_agent.fetch.resolve import Repository, Resolved
from limosa_agent.fetch.slots import MANIFEST_FILE, RELEASE_FILE, InstalledRelease, verify_release
from limosa_contracts.errors import InvalidArtifact, SignatureMismatch
from limosa_contracts.oci import SIGNATURE_FILE, Descriptor
from limosa_contracts.oms import BUNDLE_MAX_BYTES, verify_bundle
from limosa_contracts.phases import Phase

Tell = Callable[[Phase, int, int], None]
"""Phase, bytes on disk, bytes of the whole variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    release: InstalledRelease
    directory: Path
    received: int  # bytes that came over the network for blobs
    savings: Savings


class Installation:
    """One variant on its way. Files that are on this disk already are not fetched again."""

    def __init__(
        self,
        repository: Repository,
        resolved: Resolved,
        *,
        state: StatePaths,
        limits: FetchLimits,
        tell: Tell,
        disk: Disk = DISK,
    ) -> None:
        self._repository = repository
        self._resolved = resolved
        self._paths = state.model(resolved.offer.name.name)
        self._limits = limits
        self._tell = tell
        self._disk = disk
        self._release = resolved.as_installed()
        self._savings = Savings()
        self._meter = Meter(
            budget=resolved.offer.byte_budget,
            of=self._release.size_bytes,
            tell=lambda done, of: tell(Phase.DOWNLOADING, done, of),
        )

    def run(self) -> Outcome:
        """The release, verified and durable. Raises TrustError, TransferError, DiskFull, OSError."""
        if self._is_there():
            self._verify_signature(self._paths.release(self._resolved.sha) / SIGNATURE_FILE)
            self._name_release()
        else:
            self._prepare()
            self._download()
            self._tell(Phase.VERIFYING, self._meter.done, self._meter.of)
            self._stage()
        return Outcome(
            release=self._release,
            directory=self._paths.release(self._resolved.sha),
            received=self._meter.received,
            savings=self._savings,
        )

    @property
    def received(self) -> int:
        """Bytes that have come over the network for blobs so far."""
        return self._meter.received

    def _is_there(self) -> bool:
        """Whether this variant is installed and whole; a broken one is taken out of the way."""
        folder = self._paths.release(self._resolved.sha)
        if not folder.exists():
            return False
        try:
            verify_release(self._paths.folder, self._resolved.sha)
        except ReleaseBroken:
            return False
        return True

    def _name_release(self) -> None:
        """The same variant may come again under a newer version."""
        file = self._paths.release(self._resolved.sha) / RELEASE_FILE
        if file.read_bytes() != self._release.encode():
            self._disk.replace_file(file, self._release.encode())

    def _prepare(self) -> None:
        for folder in (self._paths.staging, self._paths.releases, self._paths.state.blobs):
            self._disk.make_folder(folder)
        shas = [layer.sha256 for layer in self._resolved.manifest.layers]
        wanted = {path.name for sha in shas for path in (self._paths.part(sha), self._paths.delta(sha))}
        for left in self._paths.staging.iterdir():
            if left.name not in wanted:
                self._disk.remove(left)
        missing = sum(self._missing(layer) for layer in self._resolved.manifest.layers)
        check_room(
            self._paths.state,
            missing,
            reserve=self._limits.disk_reserve_bytes,
            disk_max=self._limits.disk_max_bytes,
        )
        budget = self._resolved.offer.byte_budget
        if missing and budget == 0:
            raise BudgetSpent("the byte budget allows no download now", why=f"{missing} bytes are missing")

    def _missing(self, layer: Descriptor) -> int:
        """Bytes of a layer that must still be written."""
        if self._paths.state.blob(layer.sha256).exists():
            return 0
        part = self._paths.part(layer.sha256)
        return max(0, layer.size - (part.stat().st_size if part.exists() else 0))

    def _download(self) -> None:
        """The signature first: whether the rest may be installed costs a kilobyte to know."""
        download = BlobDownload(
            self._repository.private, limits=self._limits, meter=self._meter, disk=self._disk
        )
        deltas = DeltaDownload(
            self._repository.private,
            limits=self._limits,
            meter=self._meter,
            savings=self._savings,
            free_bytes=lambda: free_bytes(self._paths.state.folder),
            disk=self._disk,
        )
        bases = bases_of(self._paths)
        signature = self._resolved.manifest.layer(SIGNATURE_FILE)
        if signature.size > BUNDLE_MAX_BYTES:
            raise InvalidArtifact("a model signature is too large", where=SIGNATURE_FILE)
        others = [layer for layer in self._resolved.manifest.layers if layer is not signature]
        for layer in (signature, *others):
            blob = self._paths.state.blob(layer.sha256)
            part = self._paths.part(layer.sha256)
            url = self._repository.blob_url(self._resolved.offer, layer)
            if not blob.exists():
                base = bases.get(layer.filename)
                deltas.complete(url, layer, base, part=part, delta=self._paths.delta(layer.sha256))
            download.ensure(url, layer, part=part, blob=blob)
            if layer is signature:
                self._verify_signature(blob)

    def _verify_signature(self, file: Path) -> None:
        """trust 5.1: the team signed exactly these files. There is no way around this check."""
        files = {
            layer.filename: layer.sha256
            for layer in self._resolved.manifest.layers
            if layer.filename != SIGNATURE_FILE
        }
        bundle = file.read_bytes()
        mismatch = SignatureMismatch("a team has no key", where=self._resolved.offer.name.name.team)
        for key in self._resolved.team_keys:
            try:
                verify_bundle(bundle, files, key)
            except SignatureMismatch as error:
                mismatch = error  # a team may have two keys during a rotation
            else:
                return
        raise mismatch

    def _stage(self) -> None:
        """agent 3, lines 3 and 4: every file, then the folder, then its name."""
        sha = self._resolved.sha
        staging = self._paths.staging / sha
        self._disk.remove(staging)
        self._disk.make_folder(staging)
        for layer in self._resolved.manifest.layers:
            self._disk.link(self._paths.state.blob(layer.sha256), staging / layer.filename)
        self._disk.write(staging / MANIFEST_FILE, self._resolved.manifest_bytes)
        self._disk.write(staging / RELEASE_FILE, self._release.encode())
        self._disk.sync_folder(staging)
        self._make_way(self._paths, sha)
        self._disk.rename(staging, self._paths.release(sha))
        self._disk.sync_folder(self._paths.releases)
        self._disk.sync_folder(self._paths.staging)

    def _make_way(self, paths: ModelPaths, sha: str) -> None:
        """A release of this digest that is there now was found broken."""
        if paths.release(sha).exists():
            broken = paths.staging / f"{sha}.broken"
            self._disk.remove(broken)
            self._disk.rename(paths.release(sha), broken)
            with suppress(OSError):
                self._disk.remove(broken)  # else the next installation removes it


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
