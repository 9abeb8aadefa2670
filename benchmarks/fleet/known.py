"""A database that knows thousands of devices and two releases, as enrolment and publishing leave it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from limosa_contracts.names import ReleaseName
from limosa_contracts.signing_keys import PublicKey
from limosa_server.fleet import groups
from limosa_server.store import Store
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceModel
from limosa_server.tables.releases import Release, Variant
from limosa_server.trust.trust_folder import TrustFolder

MODEL: Final = "demo/motion"
GROUP: Final = "all"
VERSIONS: Final = ("1.0.0", "2.0.0")
CERTIFICATE_S: Final = 30 * 86400.0


def index_of(version: str) -> str:
    return hashlib.sha256(f"{MODEL}@{version}".encode()).hexdigest()


def know(place: Path | str, trust: Path, names: Sequence[str], key: PublicKey) -> None:
    """All of `names` run 1.0.0, in one group, with one key and certificate for all: what differs from a
    real fleet is only that making ten thousand keys is left out."""
    now = time.time()
    issued = TrustFolder(trust).authority().issue(key, device="swarm", now=now, lifetime_s=CERTIFICATE_S)
    store = Store.open(place)
    with store.transaction() as tx:
        for counter, version in enumerate(VERSIONS, start=1):
            release = Release(
                model=str(ReleaseName.parse(f"{MODEL}@{version}").name), version=version,
                index_sha256=index_of(version), release_counter=counter, published_at=now,
                published_by="bench", size_bytes=10**6,
            )  # fmt: skip
            tx.add(release)
            tx.flush()
            assert release.id is not None
            tx.add(
                Variant(
                    release_id=release.id, position=0, name="int8", manifest_sha256=index_of(version),
                    size_bytes=10**6,
                )
            )  # fmt: skip
        tx.add_all(
            Device(id=name, enrolled_at=now, last_seen=now, profile="generic-x86-64") for name in names
        )
        tx.flush()
        tx.add_all(
            DeviceCertificate(
                fingerprint=hashlib.sha256(name.encode()).hexdigest(), device=name,
                serial_number=issued.serial_number, pem=issued.leaf_pem,
                not_after=now + CERTIFICATE_S, issued_at=now,
            )
            for name in names
        )  # fmt: skip
        tx.add_all(
            DeviceModel(
                device=name, model=MODEL, phase="COMMITTED", active_version=VERSIONS[0],
                active_index=index_of(VERSIONS[0]), updated_at=now,
            )
            for name in names
        )  # fmt: skip
        groups.create(tx, GROUP, selector=None, description="", now=now, actor="bench")
        groups.join(tx, GROUP, names, now=now)
    store.close()
