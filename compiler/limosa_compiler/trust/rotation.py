"""Replaces keys that the root or the top role name, with the offline keys (trust 1.2).

Each change is one new version of root, of the top role, or of both; devices follow the chain of versions
by themselves. The offline folder is written first, the server's last: a command that was cut off is
given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from limosa_compiler.trust import ceremony, folders, offline_root, roles
from limosa_compiler.trust.errors import RotationRefused
from limosa_compiler.trust.offline_folder import read_top
from limosa_compiler.trust.offline_root import OfflineRoot
from limosa_contracts.release import DIRECTOR_TARGET
from limosa_contracts.signing_keys import Algorithm, SigningKey

ONLINE: Final = (Snapshot.type, Timestamp.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """`replaced` and `now` are key ids; none where a key was only added to an empty place."""

    what: str
    replaced: tuple[str, ...]
    now: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`server` is DATA/trust of the server, or a copy of it that is carried there."""

    offline: Path
    server: Path
    environment: Mapping[str, str]

    def root(self) -> OfflineRoot:
        return offline_root.open_root(self.offline, self.environment)

    def targets_key(self) -> SigningKey:
        return offline_root.any_key(self.offline / "targets.pem", self.environment)


def rotate_root(places: Places, now: datetime, *, numbers: tuple[int, ...] = ()) -> Rotated:
    """New root keys; `numbers` of those that are replaced (`root-2.pem` is 2), else all of them.

    One that is lost may be replaced as long as enough others sign. Raises TooFewRootKeys, RotationRefused.
    """
    root = places.root()
    changed = root.next_version()
    files = {int(path.stem.partition("-")[2]): path for path in root.keys}
    chosen = sorted(set(numbers) or files)
    listed = set(root.root.roles[Root.type].keyids)
    held = {number: roles.tuf_key(root.keys[path].public).keyid for number, path in files.items()}
    lost = sorted(listed - set(held.values()))
    missing = [number for number in chosen if number not in held]
    if len(missing) > len(lost):
        raise RotationRefused(
            f"there is no root key {missing[-1]}", where="--number", why=f"here are {sorted(held)}"
        )
    out = [held[number] for number in chosen if number in held] + lost[: len(missing)]
    fresh = {number: SigningKey.generate(Algorithm.ED25519) for number in chosen}
    for keyid in out:
        changed.revoke_key(keyid, Root.type)
    for key in fresh.values():
        changed.add_key(roles.tuf_key(key.public), Root.type)
    drafts = [offline_root.add_key(places.offline / f"root-{n}.pem", key) for n, key in fresh.items()]
    root.write(changed, now, new_keys=fresh.values())
    for draft in drafts:
        offline_root.take_key(draft)
    offline_root.deliver(places.offline, places.server)
    return Rotated(what="root", replaced=tuple(out), now=tuple(_keyid(key) for key in fresh.values()))


def rotate_targets(places: Places, now: datetime) -> Rotated:
    """A new key of the top role: a new root that names it, and the top role signed with it.

    The one before is not needed: it may be the one that is lost.
    """
    root = places.root()
    changed, key = root.next_version(), SigningKey.generate(Algorithm.P256)
    before = tuple(changed.roles[Targets.type].keyids)
    for keyid in before:
        changed.revoke_key(keyid, Targets.type)
    changed.add_key(roles.tuf_key(key.public), Targets.type)
    top = read_top(places.offline)
    draft = offline_root.add_key(places.offline / "targets.pem", key)
    root.write(changed, now)
    offline_root.take_key(draft)
    _write_top(places, offline_root.sign_top(top, key, now))
    offline_root.deliver(places.offline, places.server)
    return Rotated(what="targets", replaced=before, now=(_keyid(key),))


def rotate_online(places: Places, role: str, now: datetime) -> Rotated:
    """A new key for `snapshot` or `timestamp`, which the server signs with (trust 1)."""
    if role not in ONLINE:
        raise RotationRefused(f"{role[:64]!r} is not a role of the server's")
    root = places.root()
    changed, key = root.next_version(), SigningKey.generate(Algorithm.ED25519)
    before = tuple(changed.roles[role].keyids)
    for keyid in before:
        changed.revoke_key(keyid, role)
    changed.add_key(roles.tuf_key(key.public), role)
    root.write(changed, now)
    # The key goes before the root that names it: the server takes up neither without the other.
    _write_key(places.server, role, key)
    offline_root.deliver(places.offline, places.server)
    return Rotated(what=role, replaced=before, now=(_keyid(key),))


def rotate_director(places: Places, now: datetime) -> Rotated:
    """A new director: its public key is a target of the top role (trust 4.2). What the old one signed
    holds nowhere any more, and numbers are counted anew (ADR 59)."""
    before = key_before(places.server / "keys" / "director.pem", places.environment)
    key = SigningKey.generate(Algorithm.ED25519)
    document = ceremony.director_document(key.public)
    top = read_top(places.offline)
    roles.add_target(top, DIRECTOR_TARGET, document)
    target = places.server / ceremony.director_path(document)
    folders.write_durably(target, document)
    _write_top(places, offline_root.sign_top(top, places.targets_key(), now))
    # The key goes last: what it signs verifies for whoever has the metadata that names it.
    offline_root.deliver(places.offline, places.server)
    _write_key(places.server, "director", key)
    return Rotated(what="director", replaced=before, now=(key.public.keyid,))


def key_before(path: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The id of the key that is to be replaced; none where its file is lost. Raises KeyUnusable."""
    return (offline_root.any_key(path, environment).public.keyid,) if path.exists() else ()


def refresh_root(places: Places, now: datetime) -> datetime:
    """The same keys for another year; when it ends then."""
    root = places.root()
    root.write(root.next_version(), now)
    offline_root.deliver(places.offline, places.server)
    return root.root.expires


def refresh_targets(places: Places, now: datetime) -> datetime:
    """The same top role for another 180 days; when it ends then."""
    top = read_top(places.offline)
    _write_top(places, offline_root.sign_top(top, places.targets_key(), now))
    offline_root.deliver(places.offline, places.server)
    return top.expires


def _write_top(places: Places, data: bytes) -> None:
    folders.write_durably(places.offline / "metadata" / "targets.json", data)


def _write_key(server: Path, name: str, key: SigningKey) -> None:
    folders.write_durably(server / "keys" / f"{name}.pem", key.pem(), mode=folders.PRIVATE_FILE)


def _keyid(key: SigningKey) -> str:
    """As TUF names it."""
    return roles.tuf_key(key.public).keyid
