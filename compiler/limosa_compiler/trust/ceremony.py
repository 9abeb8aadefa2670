"""All keys of a new fleet: what goes into the offline folder, what into the server's (trust 1.1).

Bytes only; `folders.create_folder` writes them. --dev is the same with one root key of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp

from limosa_compiler.trust import folders, roles
from limosa_compiler.trust.certificates import make_device_ca, make_root_ca, make_server_certificate
from limosa_compiler.trust.errors import KeysExist
from limosa_compiler.trust.key_sources import HeldKey
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import Usage
from limosa_contracts.release import DIRECTOR_SCHEMA, DIRECTOR_TARGET
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey, Signs

ROOT_KEYS: Final = 3
ROOT_THRESHOLD: Final = 2
FIRST_EPOCH: Final = b"1"  # trust 4.3
ONLINE: Final = ("snapshot", "timestamp", "director", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFolders:
    """Relative path -> bytes, for each of the two places."""

    offline: Mapping[str, bytes]
    server: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamFiles:
    """A new team's key, and its role and bins as signed with it."""

    key: Signs
    metadata: Mapping[str, bytes]  # "<role>.json" -> bytes
    versions: Mapping[str, int]
    key_uri: str = ""  # where a key is that is not in the folder

    def folder(self) -> dict[str, bytes]:
        """Of the team alone, below `teams/<team>/` of the offline folder."""
        files = {f"metadata/{name}": data for name, data in self.metadata.items()}
        if isinstance(self.key, SigningKey):
            files["team.pem"] = self.key.pem()
        else:
            files["team.uri"] = self.key_uri.encode() + b"\n"
        return {**files, "team.pub": self.key.public.pem()}

    def server(self) -> dict[str, bytes]:
        return {f"tuf/{self.versions[name]}.{name}": data for name, data in self.metadata.items()}


def init_keys(
    *,
    offline: Path,
    server: Path,
    team: str,
    now: datetime,
    dev: bool = False,
    hosts: Sequence[str] = (),
    held: HeldKey | None = None,
) -> KeyFolders:
    """Makes both folders. Raises KeysExist where one is not empty, InvalidField, SystemRefused, Usage."""
    ours, theirs = offline.absolute(), server.absolute()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise Usage(
            "the offline folder and the server's must be two places",
            where="--offline",
            why="who takes the server must not find the offline keys there",
        )
    for folder in (ours, theirs):
        if not folders.is_free(folder):
            raise KeysExist("there is something already", where=str(folder))
    made = make_keys(team=team, now=now, dev=dev, hosts=hosts, held=held)
    folders.create_folder(ours, made.offline)
    folders.create_folder(theirs, made.server)
    return made


def make_keys(
    *,
    team: str,
    now: datetime,
    dev: bool = False,
    hosts: Sequence[str] = (),
    held: HeldKey | None = None,
) -> KeyFolders:
    """Fresh keys, certificates and TUF metadata for one fleet with one team."""
    roles.check_team(team)
    root_keys = [SigningKey.generate(Algorithm.ED25519) for _ in range(1 if dev else ROOT_KEYS)]
    targets_key = SigningKey.generate(Algorithm.P256)
    online = {name: SigningKey.generate(Algorithm.ED25519) for name in ONLINE}
    team_files = make_team(team, now, held)
    root = _root(root_keys, targets_key, online, now)
    director = director_document(online["director"].public)
    targets = roles.make_targets(roles.next_version(0, now), now + roles.LIFETIMES.targets)
    roles.add_target(targets, DIRECTOR_TARGET, director)
    roles.delegate_team(targets, team, team_files.key.public)
    top = roles.signed(targets, [targets_key]).to_bytes()
    root_ca = make_root_ca(now)
    device_ca = make_device_ca(root_ca, now)
    tls = make_server_certificate(device_ca, hosts, now)
    offline = {
        **{f"root-{i}.pem": key.pem() for i, key in enumerate(root_keys, 1)},
        "targets.pem": targets_key.pem(),
        "ca.pem": root_ca.key.pem(),
        "ca.crt": root_ca.pem(),
        "metadata/root.json": root,
        "metadata/targets.json": top,
        **{f"teams/{team}/{name}": data for name, data in team_files.folder().items()},
    }
    server = {
        **{f"keys/{name}.pem": key.pem() for name, key in online.items()},
        "keys/device-ca.pem": device_ca.key.pem(),
        "device-ca.crt": device_ca.pem(),
        "ca.crt": root_ca.pem(),
        "server.pem": tls.key.pem(),
        "server.crt": tls.pem() + device_ca.pem(),
        "epoch": FIRST_EPOCH,
        "tuf/1.root.json": root,
        f"tuf/{targets.version}.targets.json": top,
        director_path(director): director,
        **team_files.server(),
    }
    return KeyFolders(offline=offline, server=server)


def make_team(team: str, now: datetime, held: HeldKey | None = None) -> TeamFiles:
    """A new team: its key, and its role with empty bins, all signed with it (trust 2.2).

    `held`: the key that a device or a service holds; else a new one is made.
    """
    key: Signs = held or SigningKey.generate(Algorithm.P256)
    version, expires = roles.next_version(0, now), now + roles.LIFETIMES.team
    role = roles.make_team_role(team, key.public, version=version, expires=expires)
    documents: dict[str, Targets] = {team: role}
    for name in roles.bins_of(role, where=team).get_roles():
        documents[name] = roles.make_targets(version, expires)
    return TeamFiles(
        key=key,
        metadata={f"{name}.json": roles.signed(doc, [key]).to_bytes() for name, doc in documents.items()},
        versions={f"{name}.json": version for name in documents},
        key_uri=held.uri if held else "",
    )


def extended(
    top: Targets, targets_key: SigningKey, team: str, key: PublicKey, now: datetime
) -> Metadata[Targets]:
    """`top`, changed to lend the team its paths, and signed anew."""
    roles.delegate_team(top, team, key)
    top.version = roles.next_version(top.version, now)
    top.expires = (now + roles.LIFETIMES.targets).replace(microsecond=0)
    return roles.signed(top, [targets_key])


def director_document(key: PublicKey) -> bytes:
    """The TUF target by which devices know the director (trust 4.2)."""
    return encode_canonical({"schema": DIRECTOR_SCHEMA, "pem": key.pem().decode()})


def director_path(document: bytes) -> str:
    folder, _, name = DIRECTOR_TARGET.rpartition("/")
    return f"tuf/targets/{folder}/{hashlib.sha256(document).hexdigest()}.{name}"


def _root(
    root_keys: Sequence[SigningKey], targets_key: SigningKey, online: Mapping[str, SigningKey], now: datetime
) -> bytes:
    root = roles.make_root(
        roots=[key.public for key in root_keys],
        threshold=min(ROOT_THRESHOLD, len(root_keys)),
        online={
            Targets.type: targets_key.public,
            Snapshot.type: online["snapshot"].public,
            Timestamp.type: online["timestamp"].public,
        },
        expires=now + roles.LIFETIMES.root,
    )
    return roles.signed(root, root_keys).to_bytes()
