"""A TUF repository that a test can publish to, right or wrong, and the command that reads it (trust 3.6)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from click.testing import CliRunner
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from limosa_agent.fetch.tuf_command import tuf
from tests.support.hostile_server import HostileServer

TOP = (Root.type, Timestamp.type, Snapshot.type, Targets.type)


def days(number: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=number)


class Repository:
    """`signed` may be bent at will; `publish` signs with `signers` and serves."""

    def __init__(self, server: HostileServer) -> None:
        self.server = server
        self.root = Root(expires=days(30), consistent_snapshot=True)
        self.timestamp = Timestamp(expires=days(30))
        self.snapshot = Snapshot(expires=days(30))
        self.targets = Targets(expires=days(30))
        self.delegated: dict[str, Targets] = {Targets.type: self.targets}
        self.signers: dict[str, list[CryptoSigner]] = {role: [] for role in TOP}
        self.hashes = False  # whether timestamp and snapshot list lengths and hashes
        self._shown: set[str] = set()
        for role in TOP:
            self.add_key(role)
        self.publish(Targets.type, Snapshot.type, Timestamp.type, Root.type)
        self.trusted_root = self.file("root", 1)

    # keys
    def add_key(self, role: str, signer: CryptoSigner | None = None, *, listed: bool = True) -> None:
        signer = signer or CryptoSigner.generate_ed25519()
        self.signers[role].append(signer)
        if listed:
            self.root.add_key(signer.public_key, role)

    def set_keys(
        self, role: str, *, keys: Iterable[CryptoSigner], threshold: int, signers: Iterable[CryptoSigner]
    ) -> None:
        self.root.roles[role].keyids.clear()
        self.root.roles[role].threshold = threshold
        for key in keys:
            self.root.add_key(key.public_key, role)
        self.signers[role] = list(signers)

    def rotate(self, role: str) -> None:
        key = CryptoSigner.generate_ed25519()
        self.set_keys(role, keys=[key], threshold=1, signers=[key])

    # metadata
    def document(self, role: str) -> Root | Timestamp | Snapshot | Targets:
        tops: dict[str, Root | Timestamp | Snapshot] = {
            Root.type: self.root,
            Timestamp.type: self.timestamp,
            Snapshot.type: self.snapshot,
        }
        return tops.get(role) or self.delegated[role]

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Each with its next version, and listed by the role above it."""
        for role in roles:
            document = self.document(role)
            if bump and role in self._shown:
                document.version += 1
            self._shown.add(role)
            metadata: Metadata[Any] = Metadata(document)
            for signer in self.signers[role]:
                metadata.sign(signer, append=True)
            data = metadata.to_bytes(JSONSerializer())
            name = "timestamp" if role == Timestamp.type else f"{document.version}.{quote(role, '')}"
            self.server.files[f"/metadata/{name}.json"] = data
            described = self._described(document.version, data)
            if isinstance(document, Targets):
                self.snapshot.meta[f"{role}.json"] = described
            elif role == Snapshot.type:
                self.timestamp.snapshot_meta = described

    def publish_all(self) -> None:
        self.publish(*self.delegated, Snapshot.type, Timestamp.type)

    def _described(self, version: int, data: bytes) -> MetaFile:
        if not self.hashes:
            return MetaFile(version)
        return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def file(self, role: str, version: int | None = None) -> bytes:
        name = role if version is None else f"{version}.{quote(role, '')}"
        return self.server.files[f"/metadata/{name}.json"]

    # targets and delegations
    def add_target(self, path: str, data: bytes, role: str = Targets.type) -> None:
        target = TargetFile.from_data(path, data, ["sha256"])
        self.delegated[role].targets[path] = target
        folder, slash, name = path.rpartition("/")
        self.server.files[f"/targets/{folder}{slash}{target.hashes['sha256']}.{name}"] = data

    def replace_target(self, path: str, data: bytes) -> None:
        """Other bytes under the same name, unsigned."""
        for served in [name for name in self.server.files if name.endswith(f".{path}")]:
            self.server.files[served] = data

    def delegate(
        self,
        parent: str,
        role: str,
        paths: list[str],
        *,
        terminating: bool = False,
        expires: datetime | None = None,
    ) -> None:
        above = self.delegated[parent]
        if above.delegations is None:
            above.delegations = Delegations({}, roles={})
        assert above.delegations.roles is not None
        above.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, paths=paths)
        if role not in self.delegated:
            self.delegated[role] = Targets(expires=expires or days(30))
            self.signers[role] = []
        signer = CryptoSigner.generate_ed25519()
        above.add_key(signer.public_key, role)
        self.signers[role].append(signer)

    def delegate_bins(self, prefix: str, bits: int) -> None:
        bins = SuccinctRoles([], 1, bits, prefix)
        signer = CryptoSigner.generate_ed25519()
        self.targets.delegations = Delegations({}, None, bins)
        self.targets.add_key(signer.public_key)
        for role in bins.get_roles():
            self.delegated[role] = Targets(expires=days(30))
            self.signers[role] = [signer]

    def bin_of(self, path: str) -> str:
        assert self.targets.delegations is not None
        assert self.targets.delegations.succinct_roles is not None
        return self.targets.delegations.succinct_roles.get_role_for_target(path)


class Client:
    """`limosa-agent tuf`, each time anew on the same folders."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self._root = folder / "initial_root.json"

    def _run(self, *words: str) -> int:
        return CliRunner().invoke(tuf, ["--metadata-dir", str(self.metadata), *words]).exit_code

    def init(self, root: bytes = b"") -> int:
        self._root.write_bytes(root or self.repository.trusted_root)
        return self._run("init", str(self._root))

    def refresh(self) -> int:
        return self._run("--metadata-url", f"{self.repository.server.url}/metadata", "refresh")

    def download(self, name: str) -> int:
        url = self.repository.server.url
        return self._run(
            *("--metadata-url", f"{url}/metadata", "--target-name", name),
            *("--target-base-url", f"{url}/targets", "--target-dir", str(self.targets), "download"),
        )

    def version(self, role: str) -> int | None:
        path = self.metadata / f"{role}.json"
        return Metadata.from_bytes(path.read_bytes()).signed.version if path.exists() else None

    @property
    def versions(self) -> tuple[int | None, ...]:
        """Of root, timestamp, snapshot and targets."""
        return tuple(self.version(role) for role in TOP)

    @property
    def roles(self) -> int:
        return len(list(self.metadata.glob("*.json")))

    @property
    def downloaded(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.targets.glob("*"))

    def asked(self) -> list[str]:
        """Metadata that was asked for since the last question, in order, names decoded."""
        paths = [one.path for one in self.repository.server.asked if one.path.startswith("/metadata/")]
        self.repository.server.asked.clear()
        return [unquote(path.removeprefix("/metadata/").removesuffix(".json")) for path in paths]
