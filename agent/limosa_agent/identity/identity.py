"""Who this device is: key, certificate, CA and TUF root, stored whole or not at all (trust 6.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_agent.errors import NotEnrolled, RenewedMeanwhile
from limosa_agent.fetch.durable import DISK, Disk
from limosa_agent.identity.lock import reading, replacing
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.enrolment import Enrolled
from limosa_contracts.signing_keys import SigningKey

KEY: Final = "key.pem"
CERTIFICATE: Final = "cert.pem"
CA: Final = "ca.pem"
ROOT: Final = "root.json"
ENROLLED: Final = "enrolled.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    folder: Path
    enrolled: Enrolled
    key: SigningKey

    @property
    def device(self) -> str:
        return self.enrolled.device

    @property
    def certificate_pem(self) -> bytes:
        """The one of this key; the file beside it may be a newer one's already."""
        return self.enrolled.certificate_pem.encode()

    @property
    def key_path(self) -> Path:
        return self.folder / KEY

    @property
    def certificate_path(self) -> Path:
        return self.folder / CERTIFICATE

    @property
    def ca_path(self) -> Path:
        return self.folder / CA

    def audience_base(self, server: str) -> str:
        """The server's own name for itself, which assertions are made for."""
        told = self.enrolled.extra.get("server")
        return told.rstrip("/") if isinstance(told, str) and told else server


def load_identity(folder: Path) -> Identity:
    """Raises NotEnrolled, InvalidField."""
    try:
        with reading(folder):
            enrolled = Enrolled.parse((folder / ENROLLED).read_bytes())
            key = SigningKey.parse((folder / KEY).read_bytes())
    except FileNotFoundError as error:
        raise NotEnrolled(
            "this device is not enrolled", where=str(folder), why="it has no identity"
        ) from error
    return Identity(folder=folder, enrolled=enrolled, key=key)


def store_identity(folder: Path, *, key: SigningKey, enrolled: Enrolled, disk: Disk = DISK) -> None:
    """All files in a folder of another name, synced, then one rename: a crash leaves nothing or
    everything (agent 8)."""
    fresh = folder.with_name(folder.name + ".new")
    disk.make_folder(folder.parent)
    if fresh.exists():
        disk.remove(fresh)
    disk.make_folder(fresh)
    files = {
        KEY: key.pem(),
        CERTIFICATE: enrolled.certificate_pem.encode(),
        CA: enrolled.ca_pem.encode(),
        ROOT: enrolled.tuf_root.encode(),
        ENROLLED: encode_canonical(enrolled.as_json()),
    }
    for name, data in files.items():
        disk.write(fresh / name, data)
    disk.sync_folder(fresh)
    disk.rename(fresh, folder)
    disk.sync_folder(folder.parent)


def replace_certificate(
    identity: Identity, *, key: SigningKey, certificate_pem: str, ca_pem: str, disk: Disk = DISK
) -> None:
    """The renewed identity in place of the old one: a whole new folder, swapped by two renames; at
    start `recover_identity` finishes a swap that was cut. Raises RenewedMeanwhile if `identity` is not
    the one on disk any more: of two renewals the first to be stored counts."""
    enrolled = Enrolled.parse(
        json.dumps({**identity.enrolled.as_json(), "certificate": certificate_pem, "ca": ca_pem}).encode()
    )
    with replacing(identity.folder):
        if (identity.folder / CERTIFICATE).read_bytes() != identity.certificate_pem:
            raise RenewedMeanwhile("the identity has changed", where=str(identity.folder))
        _swap(identity.folder, key, enrolled, disk)


def _swap(folder: Path, key: SigningKey, enrolled: Enrolled, disk: Disk) -> None:
    fresh, old = folder.with_name(folder.name + ".renewed"), folder.with_name(folder.name + ".old")
    if fresh.exists():
        disk.remove(fresh)
    store_identity(fresh, key=key, enrolled=enrolled, disk=disk)
    disk.rename(folder, old)
    disk.rename(fresh, folder)
    disk.sync_folder(folder.parent)
    disk.remove(old)


def recover_identity(folder: Path) -> None:
    """After a crash between the two renames of a renewal: the new one is whole, take it. A renewal that
    still runs, its agent gone, is waited for."""
    with replacing(folder):
        _recover(folder)


def _recover(folder: Path) -> None:
    fresh, old = folder.with_name(folder.name + ".renewed"), folder.with_name(folder.name + ".old")
    if not folder.exists() and fresh.exists():
        fresh.rename(folder)
        DISK.sync_folder(folder.parent)
    elif not folder.exists() and old.exists():
        old.rename(folder)
        DISK.sync_folder(folder.parent)
    unfinished = (folder.with_name(f"{folder.name}.new"), fresh.with_name(f"{fresh.name}.new"))
    for leftover in (fresh, old, *unfinished):
        if leftover.exists():
            DISK.remove(leftover)


def is_private(path: Path) -> bool:
    """Whether only this user may read it."""
    return not path.stat().st_mode & 0o077
