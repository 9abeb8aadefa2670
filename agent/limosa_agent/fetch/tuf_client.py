"""A TUF client that survives a loss of power at any instruction (trust 3).

What is trusted is decided by python-tuf; here is only where bytes come from, what time it is, and how
they get to disk. Nothing is downloaded but metadata: targets are fetched by digest (trust 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from securesystemslib.signer import Key
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from limosa_agent.fetch.durable import DISK, TEMPORARY, Disk
from limosa_agent.fetch.errors import (
    LengthMismatch,
    MetadataExpired,
    SourceRefused,
    UnknownRelease,
    UntrustedMetadata,
)
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.source import Source
from limosa_contracts.errors import InvalidField
from limosa_contracts.names import ReleaseName
from limosa_contracts.signing_keys import PublicKey

HISTORY: Final = "root_history"
P256_SCHEME: Final = "ecdsa-sha2-nistp256"


class MetadataFetcher(FetcherInterface):
    """Hands python-tuf the bytes of our own HTTP client; our errors pass through it unchanged."""

    def __init__(self, source: Source, *, budget_s: float) -> None:
        self._source = source
        self._budget_s = budget_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._source.open(url, budget_s=self._budget_s) as response:
            if response.status != 200:
                # 403 and 404 have a meaning for python-tuf: there is no newer root.
                raise DownloadHTTPError(f"HTTP {response.status} for {url}", response.status)
            yield from response.chunks()


class DurableUpdater(Updater):
    """python-tuf's updater with files that are synced, and `root.json` never missing (trust 3.2)."""

    def __init__(
        self,
        folder: Path,
        *,
        metadata_url: str,
        bootstrap: bytes,
        reference: float,
        fetcher: FetcherInterface,
        limits: FetchLimits,
        disk: Disk = DISK,
    ) -> None:
        self._disk = disk
        self._folder = folder
        disk.make_folder(folder / HISTORY)
        for left in (*folder.glob(f"*{TEMPORARY}"), *(folder / HISTORY).glob(f"*{TEMPORARY}")):
            disk.remove(left)
        super().__init__(
            str(folder),
            metadata_url,
            fetcher=fetcher,
            config=UpdaterConfig(
                max_root_rotations=limits.root_rotations_max,
                root_max_length=limits.root_max_bytes,
                timestamp_max_length=limits.timestamp_max_bytes,
                snapshot_max_length=limits.snapshot_max_bytes,
                targets_max_length=limits.targets_max_bytes,
            ),
            bootstrap=bootstrap,
        )
        # trust 3.3; nothing was judged by time so far: an expired first root may lead to a newer one
        self._trusted_set.reference_time = datetime.fromtimestamp(reference, UTC)

    @property
    def top(self) -> Targets:
        """The verified top-level targets, after `refresh`."""
        return self._trusted_set.targets

    @property
    def consistent(self) -> bool:
        return bool(self._trusted_set.root.consistent_snapshot)

    def verified(self, role: str) -> Targets | None:
        """A delegated role, if it was needed and verified."""
        signed = self._trusted_set.get(role)
        return signed if isinstance(signed, Targets) else None

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        with suppress(OSError):
            if not path.is_symlink() and path.read_bytes() == data:
                return
        self._disk.replace_file(path, data)

    def _update_root_symlink(self) -> None:
        """A file instead of the link: it is replaced, so there is a root at any moment."""
        version = self._trusted_set.root.version
        data = (self._folder / HISTORY / f"{version}.root.json").read_bytes()
        self._persist_file(str(self._folder / "root.json"), data)


class TufClient:
    """The signed view of one server: refreshed on the first question, the same for all that follow."""

    def __init__(
        self,
        folder: Path,
        *,
        metadata_url: str,
        bootstrap: bytes,
        reference: float,
        source: Source,
        limits: FetchLimits,
        disk: Disk = DISK,
    ) -> None:
        """Raises UntrustedMetadata if `bootstrap` is no root."""
        fetcher = MetadataFetcher(source, budget_s=limits.metadata_budget_s)
        with as_ours(metadata_url):
            self._updater = DurableUpdater(
                folder,
                metadata_url=metadata_url,
                bootstrap=bootstrap,
                reference=reference,
                fetcher=fetcher,
                limits=limits,
                disk=disk,
            )
        self._url = metadata_url

    def refresh(self) -> None:
        """Raises MetadataExpired, UntrustedMetadata, or a TransferError."""
        with as_ours(self._url):
            self._updater.refresh()

    def top_target(self, path: str) -> TargetFile:
        """A target that the top-level role itself lists, after `refresh`. Raises UnknownRelease."""
        target = self._updater.top.targets.get(path)
        if target is None:
            raise UnknownRelease(f"the top role lists no target {path!r}", where=self._url)
        return target

    def target(self, path: str) -> TargetFile | None:
        """Whatever role lists it: for `limosa-agent tuf`. A release is looked up by `release_target`."""
        with as_ours(self._url):
            return self._updater.get_targetinfo(path)

    def target_url(self, target: TargetFile, base_url: str) -> str:
        """Where a target's bytes are, under its consistent name where the repository has them."""
        folder, slash, name = target.path.rpartition("/")
        if self._updater.consistent:
            name = f"{next(iter(target.hashes.values()))}.{name}"
        return f"{base_url.rstrip('/')}/{folder}{slash}{name}"

    def check(self, target: TargetFile, path: Path) -> None:
        """Raises UntrustedMetadata if a file is not the target."""
        with as_ours(target.path), path.open("rb") as file:
            target.verify_length_and_hashes(file)

    def holds(self, target: TargetFile, path: Path) -> bool:
        try:
            self.check(target, path)
        except UntrustedMetadata:
            return False
        return True

    def release_target(self, name: ReleaseName) -> TargetFile:
        """The target of a release, listed by its own team. Raises UnknownRelease, UntrustedMetadata."""
        path = name.target_path
        with as_ours(self._url):
            target = self._updater.get_targetinfo(path)
        if target is None:
            raise UnknownRelease(f"no team has signed {name}", where=path)
        # trust 1: the top role delegates; by itself it may not give an install, nor may another team
        if not any(role.targets.get(path) is target for role in self._roles_of_team(name.name.team, path)):
            raise UntrustedMetadata(f"{name} is not listed by its team", where=path)
        return target

    def team_keys(self, team: str) -> tuple[PublicKey, ...]:
        """The P-256 keys of a team's role as the top role delegates it. Raises UntrustedMetadata."""
        top = self._updater.top
        delegations = top.delegations
        role = delegations.roles.get(team) if delegations is not None and delegations.roles else None
        if role is None:
            raise UntrustedMetadata(f"there is no team {team!r}", where="targets.json")
        return tuple(_public_key(top.get_key(keyid)) for keyid in role.keyids)

    def _roles_of_team(self, team: str, path: str) -> Iterator[Targets]:
        """The team's role and the bin of it that `path` falls into, as far as they were verified."""
        role = self._updater.verified(team)
        if role is None:
            return
        yield role
        succinct = role.delegations.succinct_roles if role.delegations is not None else None
        if succinct is not None:
            bin_role = self._updater.verified(succinct.get_role_for_target(path))
            if bin_role is not None:
                yield bin_role


@contextmanager
def as_ours(where: str) -> Iterator[None]:
    """Errors of python-tuf as ours: what may be tried again, and what must not."""
    try:
        yield
    except ExpiredMetadataError as error:
        raise MetadataExpired("signed metadata has expired", where=where, why=_why(error)) from error
    except RepositoryError as error:
        raise UntrustedMetadata("metadata is not to be trusted", where=where, why=_why(error)) from error
    except DownloadLengthMismatchError as error:
        raise LengthMismatch("metadata does not end", where=where, why=_why(error)) from error
    except DownloadError as error:
        raise SourceRefused("metadata could not be fetched", where=where, why=_why(error)) from error


def check_root(data: bytes) -> None:
    """Raises UntrustedMetadata unless `data` is a root that signs itself."""
    with as_ours("root.json"):
        root = Metadata[Root].from_bytes(data)
        if root.signed.type != Root.type:
            raise UntrustedMetadata("this is not a root", where="root.json", why=root.signed.type)
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)


def _why(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__


def _public_key(key: Key) -> PublicKey:
    if key.scheme != P256_SCHEME:
        raise UntrustedMetadata(
            "a team signs with P-256", where="targets.json", why=f"not {key.scheme[:60]!r}"
        )
    try:
        return PublicKey.parse(str(key.keyval.get("public", "")).encode())
    except InvalidField as error:
        raise UntrustedMetadata("a team's key cannot be read", where="targets.json", why=error.why) from error
