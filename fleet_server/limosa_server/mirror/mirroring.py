"""What a mirror for devices without a network is made of (trust 3.5): signed anew, and written down.

Documents and timestamp are signed by the keys that the server has anyhow. A mirror can therefore say
nothing that the server could not; that it was made stands in the audit trail.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlmodel import col, select

from limosa_contracts.desired import DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, LimosaError, NotFound
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ReleaseName
from limosa_contracts.oci import Descriptor, ImageIndex, Manifest
from limosa_server.access import audit
from limosa_server.assembly import make_director
from limosa_server.core.device_state import DeviceState
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device
from limosa_server.tables.rollouts import AssignmentRow, DesiredDocument
from limosa_server.trust.director import Director
from limosa_server.trust.tuf_repository import Lent, consistent_path

SLACK_S: Final = 3600.0  # a document that lives this much shorter than asked for is not signed anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    repository: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Everything a mirror holds, or the names of what is read from the server's public folders."""

    id: str
    made: int  # Unix seconds
    lent: Lent
    desired: dict[str, bytes]  # device -> envelope
    releases: tuple[ReleaseName, ...]
    targets: tuple[str, ...]  # paths below tuf/targets
    blobs: tuple[Blob, ...]  # manifests and layers


def make_mirror(state: ServerState, *, devices: Sequence[str], valid_s: float, actor: str) -> Mirror:
    """For these devices, all that are active if none is named. Raises InvalidField, NotFound."""
    limits, now = state.settings.limits, state.clock()
    if not 60.0 <= valid_s <= limits.mirror_valid_max_s:
        raise InvalidField(
            "a mirror does not live so long",
            where="valid_s",
            why=f"{valid_s:.0f} s, 60 to {limits.mirror_valid_max_s:.0f} are accepted",
        )
    director = replace(make_director(state), life_s=int(valid_s))
    mirror_id = secrets.token_hex(8)
    with state.store.transaction() as tx:
        chosen = _chosen(tx, devices, limit=limits.mirror_devices_max)
        desired = {
            device: envelope
            for device in chosen
            if (envelope := _document(tx, director, device, until=now + valid_s - SLACK_S, now=now))
        }
        wanted = _wanted(desired.values())
        audit.record(
            tx,
            at=now,
            actor=actor,
            action="mirror.export",
            object=f"mirror {mirror_id}",
            after={
                "valid_s": valid_s,
                "devices": list(devices) or "all",
                "documents": len(desired),
                "releases": [str(name) for name in wanted],
            },
        )
    lent = state.tuf.lend(valid_s=valid_s, now=now)
    return Mirror(
        id=mirror_id,
        made=int(now),
        lent=lent,
        desired=desired,
        releases=tuple(wanted),
        targets=(*lent.targets, *(consistent_path(name.target_path, sha) for name, sha in wanted.items())),
        blobs=tuple(_blobs(state, wanted)),
    )


def _chosen(tx: Transaction, devices: Sequence[str], *, limit: int) -> Sequence[str]:
    query = select(Device.id).where(Device.state == DeviceState.ACTIVE).order_by(col(Device.id))
    if devices:
        query = query.where(col(Device.id).in_(devices))
    found = list(tx.exec(query.limit(limit + 1)))
    missing = sorted(set(devices) - set(found))
    if missing:
        raise NotFound(
            f"there is no active device {missing[0]!r}", where="devices", hint="limosa device list"
        )
    if len(found) > limit:
        raise InvalidField(
            "a mirror for so many devices is not written at once", where="devices", why=f"at most {limit}"
        )
    return found


def _document(tx: Transaction, director: Director, device: str, *, until: float, now: float) -> bytes | None:
    """A desired document that is good until then; the newest one if it is, else a new one."""
    if tx.exec(select(AssignmentRow.model).where(AssignmentRow.device == device).limit(1)).first() is None:
        return None  # nothing was ever wanted of it
    row = tx.get(DesiredDocument, device)
    if row is None or row.expires < until or not director.stands_by(row):
        director.issue(tx, device, now=now)
        tx.flush()
        row = tx.get(DesiredDocument, device)
        assert row is not None
    return row.envelope


def _wanted(envelopes: Iterable[bytes]) -> dict[ReleaseName, str]:
    """Release -> sha256 of its index, of every document."""
    wanted: dict[ReleaseName, str] = {}
    for data in envelopes:
        payload = Envelope.parse(data, max_bytes=2 * LIMITS.mqtt_message_max_bytes).payload
        for model in DesiredState.parse(payload).models:
            if model.mode != "absent":
                wanted[ReleaseName.parse(f"{model.model}@{model.version}")] = model.index_sha256
    return dict(sorted(wanted.items()))


def _blobs(state: ServerState, wanted: dict[ReleaseName, str]) -> Iterator[Blob]:
    """Manifests and layers of all variants, each once; not their configs, which no device reads."""
    seen: set[str] = set()
    for name, index in wanted.items():
        for manifest in _read(state, index):
            layers = Manifest.parse(state.blobs.read(manifest.sha256)).layers
            for descriptor in (manifest, *layers):
                if descriptor.sha256 not in seen:
                    seen.add(descriptor.sha256)
                    yield Blob(repository=str(name.name), sha256=descriptor.sha256, size=descriptor.size)


def _read(state: ServerState, index: str) -> Sequence[Descriptor]:
    try:
        return ImageIndex.parse(state.blobs.read(index)).manifests
    except (OSError, LimosaError) as error:
        raise NotFound("a release's index is not on the server", where=f"sha256:{index}") from error
