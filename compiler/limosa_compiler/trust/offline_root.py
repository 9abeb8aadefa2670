"""The root of an offline folder: its keys, its versions, and how a new version is signed (trust 1.2).

The offline folder is the source of truth. A change is written there first, then to the server's folder;
every root version is kept, and whatever the server's folder lacks is delivered by the next command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization import DeserializationError, SerializationError

from limosa_compiler.trust import folders, roles
from limosa_compiler.trust.errors import DamagedMetadata, KeyUnusable, TooFewRootKeys
from limosa_compiler.trust.key_files import KEY_MAX_BYTES, PASSWORD_VARIABLE
from limosa_contracts.errors import InvalidField
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import SigningKey, Signs

ROOT_KEY_FILES: Final = "root-*.pem"
NEXT: Final = ".next.pem"
"""A key that was made and is not yet known to have been signed in: settled by the next command."""


@dataclass(slots=True, kw_only=True)
class OfflineRoot:
    """The newest root, and the private keys of it that are in the folder, by their file."""

    offline: Path
    metadata: Metadata[Root]
    keys: dict[Path, SigningKey]

    @property
    def root(self) -> Root:
        return self.metadata.signed

    def next_version(self) -> Root:
        """A copy to be changed, with the next version; every version counts, so by one (TUF 5.3)."""
        changed = deepcopy(self.root)  # `to_dict` would share its lists of keys
        changed.version += 1
        return changed

    def write(self, changed: Root, now: datetime, *, new_keys: Iterable[SigningKey] = ()) -> None:
        """Signs by the keys that the former root asks for and those that the new one does (TUF 6.1).

        Raises TooFewRootKeys, SystemRefused.
        """
        changed.expires = (now + roles.LIFETIMES.root).replace(microsecond=0)
        signers = {key.public.keyid: key for key in (*self.keys.values(), *new_keys)}
        for root in (self.root, changed):
            _check_enough(root, signers.values())
        listed = {*self.root.roles[Root.type].keyids, *changed.roles[Root.type].keyids}
        chosen = [key for key in signers.values() if roles.tuf_key(key.public).keyid in listed]
        signed = roles.signed(changed, sorted(chosen, key=lambda key: key.public.keyid))
        data = signed.to_bytes()
        versions = self.offline / "metadata" / "roots"
        with folders.refusals(versions, "make a folder"):
            versions.mkdir(mode=folders.PRIVATE_FOLDER, exist_ok=True)
        kept = versions / f"{self.root.version}.root.json"
        if not kept.exists():
            folders.write_durably(kept, self.metadata.to_bytes())
        folders.write_durably(versions / f"{changed.version}.root.json", data)
        folders.write_durably(self.offline / "metadata" / "root.json", data)
        self.metadata = signed


def open_root(offline: Path, environment: Mapping[str, str]) -> OfflineRoot:
    """Reads the root and the keys that are at hand. Raises DamagedMetadata, KeyUnusable, SystemRefused."""
    path = offline / "metadata" / "root.json"
    data = folders.read_file(path, max_bytes=LIMITS.tuf_metadata_max_bytes)
    try:
        metadata = Metadata[Root].from_bytes(data)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (DeserializationError, SerializationError, RepositoryError, ValueError) as error:
        raise DamagedMetadata("the root cannot be believed", where=str(path), why=str(error)[:300]) from error
    _settle(offline, metadata.signed)
    keys: dict[Path, SigningKey] = {}
    for file in sorted(offline.glob(ROOT_KEY_FILES)):
        keys[file] = any_key(file, environment)
    return OfflineRoot(offline=offline, metadata=metadata, keys=keys)


def any_key(path: Path, environment: Mapping[str, str]) -> SigningKey:
    """A key of either algorithm; LIMOSA_KEY_PASSWORD opens an encrypted one. Raises KeyUnusable."""
    pem = folders.read_file(path, max_bytes=KEY_MAX_BYTES)
    password = environment.get(PASSWORD_VARIABLE) if b"ENCRYPTED" in pem else None
    try:
        return SigningKey.parse(pem, password=password.encode() if password is not None else None)
    except InvalidField as error:
        raise KeyUnusable("the key cannot be read", where=str(path), why=error.why) from None


def add_key(path: Path, key: SigningKey) -> Path:
    """Writes a new key beside the one it will replace; gives the file."""
    draft = path.with_name(path.name.removesuffix(".pem") + NEXT)
    folders.write_durably(draft, key.pem(), mode=folders.PRIVATE_FILE)
    return draft


def take_key(draft: Path) -> None:
    """It is signed in: it takes the place of the one before, which is gone for good."""
    with folders.refusals(draft, "replace a key"):
        draft.replace(draft.with_name(draft.name.removesuffix(NEXT) + ".pem"))
        folders.sync_folder(draft.parent)


def deliver(offline: Path, server: Path) -> None:
    """Every root version and the newest top role, as far as the server's folder lacks them."""
    for file in sorted((offline / "metadata" / "roots").glob("*.root.json")):
        _deliver(file.read_bytes(), server / "tuf" / file.name)
    path = offline / "metadata" / "targets.json"
    data = folders.read_file(path, max_bytes=LIMITS.tuf_metadata_max_bytes)
    version = roles.parse_role(data, where=str(path)).signed.version
    _deliver(data, server / "tuf" / f"{version}.targets.json")


def _deliver(data: bytes, path: Path) -> None:
    with folders.refusals(path, "read a file"):
        there = path.exists() and path.read_bytes() == data
    if not there:
        folders.write_durably(path, data)


def sign_top(top: Targets, key: Signs, now: datetime) -> bytes:
    """The top role's next version, signed."""
    top.version = roles.next_version(top.version, now)
    top.expires = (now + roles.LIFETIMES.targets).replace(microsecond=0)
    return roles.signed(top, [key]).to_bytes()


def _settle(offline: Path, root: Root) -> None:
    """A command that was interrupted left a new key: it is taken if the root lists it, else dropped."""
    for draft in sorted(offline.glob(f"*{NEXT}")):
        key = SigningKey.parse(folders.read_file(draft, max_bytes=KEY_MAX_BYTES))
        if roles.tuf_key(key.public).keyid in root.keys:
            take_key(draft)
        else:
            folders.remove_durably(draft)


def _check_enough(root: Root, signers: Iterable[SigningKey]) -> None:
    role = root.roles[Root.type]
    ours = {roles.tuf_key(key.public).keyid for key in signers} & set(role.keyids)
    if len(ours) < role.threshold:
        raise TooFewRootKeys(
            f"{role.threshold} root keys of version {root.version} must sign, {len(ours)} are here",
            where="root-*.pem",
        )
