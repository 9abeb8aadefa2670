"""Whether a server's folder, database and keys hold together: findings, the worst first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text
from sqlmodel import col, select

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import SigningKey
from limosa_server.access.audit import first_break
from limosa_server.core.device_state import DeviceState
from limosa_server.deploy.check_broker import check_broker
from limosa_server.deploy.check_counters import check_counters
from limosa_server.deploy.check_postgresql import check_postgresql
from limosa_server.deploy.copies import files_below
from limosa_server.deploy.database_copy import looked_at, revision_of
from limosa_server.deploy.finding import Finding
from limosa_server.errors import StoreNewer
from limosa_server.files import sha256_of
from limosa_server.settings import ServerSettings
from limosa_server.store.engine import shown
from limosa_server.store.migrate import head, is_newer
from limosa_server.store.transaction import Transaction
from limosa_server.tables.access import AuditRow
from limosa_server.tables.devices import Device
from limosa_server.tables.releases import Release, RepositoryBlob, Variant
from limosa_server.tables.rollouts import DesiredDocument
from limosa_server.trust.trust_folder import TrustFolder

KEYS: Final = ("snapshot", "timestamp", "director", "audit", "device-ca")
FREE_MIN_BYTES: Final = 512 * 1024**2  # below, a large push or a busy day fills the disk
LISTED_MAX: Final = 5  # names in one finding


def check(settings: ServerSettings, place: Path | str, *, read_blobs: bool) -> list[Finding]:
    """Writes nothing, and no server waits for it. `read_blobs`: every blob's digest too, which reads all.

    Raises StoreDown, StoreDamaged, DatabaseRefused.
    """
    if not settings.data.is_dir():
        hint = "give --data as for limosa server run; after a loss: limosa server restore"
        return [Finding(bad=True, what="there is no such folder", where=str(settings.data), hint=hint)]
    found = [*_trust(settings), *_disk(settings), *check_broker(settings.broker_folder)]
    with looked_at(place, busy_timeout_s=settings.limits.busy_timeout_s) as engine:
        found += _database(settings, engine, read_blobs=read_blobs)
    return sorted(found, key=lambda one: not one.bad)


def _trust(settings: ServerSettings) -> Iterator[Finding]:
    trust = TrustFolder(settings.trust)
    steps: list[Callable[[], object]] = [
        trust.authority,
        trust.epoch,
        trust.root,
        *[_key_reader(trust, name) for name in KEYS],
    ]
    for step in steps:
        try:
            step()
        except LimosaError as error:
            yield Finding(bad=True, what=error.what, where=error.where, hint=error.hint)
    for path in files_below(settings.trust / "keys"):
        if path.stat().st_mode & 0o077:
            yield Finding(
                bad=True, what="a key can be read by others", where=str(path), hint=f"chmod 600 {path}"
            )


def _key_reader(trust: TrustFolder, name: str) -> Callable[[], SigningKey]:
    return lambda: trust.key(name)


def _disk(settings: ServerSettings) -> Iterator[Finding]:
    found = os.statvfs(settings.data)
    free = found.f_bavail * found.f_frsize
    if free < FREE_MIN_BYTES:
        what = f"{free // 2**20} MiB are free on the disk"
        yield Finding(bad=True, what=what, where=str(settings.data), hint="make room")


def _database(settings: ServerSettings, engine: Engine, *, read_blobs: bool) -> Iterator[Finding]:
    place = shown(engine.url)
    if engine.dialect.name == "sqlite" and not Path(place).exists():
        yield Finding(bad=True, what="there is no database", where=place, hint="limosa server run makes one")
        return
    revision = revision_of(engine)
    if revision != head():
        yield _other_schema(revision, place)
        return
    if engine.dialect.name == "sqlite":
        yield from _sqlite(engine, place)
    else:
        yield from check_postgresql(engine, place)
    with Transaction(engine, autoflush=False) as tx:
        yield from _audit(tx)
        yield from check_counters(tx)
        yield from _documents(tx, settings)
        yield from _releases(tx, settings, read_blobs=read_blobs)


def _other_schema(revision: str, place: str) -> Finding:
    if revision and is_newer(revision):
        what = f"the schema is {revision}, of a newer program than this one, whose schema is {head()}"
        hint = f"{StoreNewer.default_hint}, or limosa server restore of a backup that this version made"
    else:
        what = f"the schema is {revision or 'empty'}, this program's is {head()}"
        hint = "limosa server run upgrades it"
    return Finding(bad=True, what=what, where=place, hint=hint)


def _sqlite(engine: Engine, place: str) -> Iterator[Finding]:
    hint = "stop the server, and put a backup in its place: limosa server restore"
    with engine.connect() as connection:
        said = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        if list(said) != ["ok"]:
            yield Finding(bad=True, what=f"the database is damaged: {said[0]}", where=place, hint=hint)
        for row in connection.execute(text("PRAGMA foreign_key_check")).all()[:LISTED_MAX]:
            yield Finding(
                bad=True, what=f"a row of {row[0]} refers to none of {row[2]}", where=place, hint=hint
            )


def _audit(tx: Transaction) -> Iterator[Finding]:
    broken = first_break(
        tx.exec(select(AuditRow).order_by(col(AuditRow.seq)).execution_options(yield_per=1000))
    )
    if broken is not None:
        yield Finding(
            bad=True,
            what="the audit trail was changed",
            where=f"audit row {broken}",
            hint="limosa audit verify; compare with a backup, and with the heads that devices hold",
        )


def _documents(tx: Transaction, settings: ServerSettings) -> Iterator[Finding]:
    """Whether devices would take what is published for them."""
    try:
        key = TrustFolder(settings.trust).key("director").public
    except LimosaError:
        return  # told already
    bad = []
    ours = select(Device.id).where(Device.state == DeviceState.ACTIVE)  # of the others nothing is signed anew
    documents = select(DesiredDocument).where(col(DesiredDocument.device).in_(ours))
    for row in tx.exec(documents.order_by(col(DesiredDocument.device))):
        try:
            envelope = Envelope.parse(row.envelope, max_bytes=2 * LIMITS.mqtt_message_max_bytes)
            envelope.verify(key, payload_type=PAYLOAD_TYPE)
            if DesiredState.parse(envelope.payload).device != row.device:
                bad.append(row.device)
        except LimosaError:
            bad.append(row.device)
    if bad:
        yield Finding(
            bad=True,
            what=f"{len(bad)} desired documents do not verify with the director's key",
            where=", ".join(bad[:LISTED_MAX]),
            hint="they are signed anew at half of their life; a replaced key signs all at the next start",
        )


def _releases(tx: Transaction, settings: ServerSettings, *, read_blobs: bool) -> Iterator[Finding]:
    known = dict(tx.exec(select(RepositoryBlob.sha256, RepositoryBlob.size)).all())
    wanted = {index: f"{model}@{version}" for model, version, index in tx.exec(
        select(Release.model, Release.version, Release.index_sha256)
    )}  # fmt: skip
    wanted |= {
        manifest: f"{model}@{version}"
        for manifest, model, version in tx.exec(
            select(Variant.manifest_sha256, Release.model, Release.version).join(
                Release, col(Release.id) == col(Variant.release_id)
            )
        )
    }
    for sha256 in sorted(wanted.keys() - known.keys()):
        yield _lost(f"a part of {wanted[sha256]} is not in the registry", sha256)
    for sha256, size in sorted(known.items()):
        path = settings.blobs / "sha256" / sha256[:2] / sha256
        if not path.is_file():
            yield _lost("a blob is missing", sha256)
        elif path.stat().st_size != size or (read_blobs and sha256_of(path) != sha256):
            yield _lost("a blob is not what it was", sha256)
    there = {path.name for path in files_below(settings.blobs / "sha256")}
    if orphans := sorted(there - known.keys()):
        yield Finding(
            bad=False,
            what=f"{len(orphans)} files of the blob folder belong to nothing",
            where=", ".join(one[:12] for one in orphans[:LISTED_MAX]),
            hint="an upload that broke off, or a retracted release; they do no harm",
        )


def _lost(what: str, sha256: str) -> Finding:
    return Finding(
        bad=True,
        what=what,
        where=f"sha256:{sha256}",
        hint="publish the release again: the same bytes take the same place",
    )
