"""A TUF repository in a folder, and the stock client reading it: what a device will believe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from limosa_contracts.signing_keys import SigningKey


class FolderFetcher(FetcherInterface):
    """file:// URLs; what is not there is a 404."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlsplit(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"no {path.name}", 404)
        yield path.read_bytes()


def write_repository(folder: Path, trust: Path, roles: Mapping[str, bytes]) -> Path:
    """The metadata folder a server would serve: `roles` (targets, team, bins), snapshot and timestamp."""
    folder.mkdir(exist_ok=True)
    (folder / "1.root.json").write_bytes((trust / "tuf" / "1.root.json").read_bytes())
    snapshot = Snapshot(version=1, expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
    for role, data in roles.items():
        version = Metadata[Targets].from_bytes(data).signed.version
        (folder / f"{version}.{role}.json").write_bytes(data)
        snapshot.meta[f"{role}.json"] = MetaFile(version=version)
    timestamp = Timestamp(version=1, expires=snapshot.expires)
    (folder / "1.snapshot.json").write_bytes(_signed(Metadata(snapshot), trust, "snapshot"))
    (folder / "timestamp.json").write_bytes(_signed(Metadata(timestamp), trust, "timestamp"))
    return folder


def find_target(repository: Path, client: Path, path: str) -> TargetFile | None:
    """What the stock client finds under `path`, starting from the repository's first root."""
    client.mkdir(exist_ok=True)
    updater = Updater(
        str(client),
        repository.as_uri(),
        fetcher=FolderFetcher(),
        bootstrap=(repository / "1.root.json").read_bytes(),
    )
    return updater.get_targetinfo(path)


def _signed(metadata: Metadata[Snapshot] | Metadata[Timestamp], trust: Path, role: str) -> bytes:
    metadata.sign(CryptoSigner(SigningKey.parse((trust / "keys" / f"{role}.pem").read_bytes()).raw))
    return metadata.to_bytes()
