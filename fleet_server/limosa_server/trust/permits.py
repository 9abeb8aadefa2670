"""Downgrade permits: kept as teams signed them, and handed to the devices they are about (trust 2.4).

The server could not make one. It checks the signature only so that a mistake is told to who made it:
what counts is the device's own check.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, select

from limosa_contracts.canonical import parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, NotFound
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import ModelName
from limosa_contracts.permit import DowngradePermit
from limosa_server.access import audit
from limosa_server.errors import MetadataRefused
from limosa_server.store import Transaction
from limosa_server.tables.permits import Permit
from limosa_server.tables.releases import Release
from limosa_server.trust.team_keys import team_keys


def add(tx: Transaction, envelope: Envelope, *, at: float, actor: str) -> DowngradePermit:
    """Kept from now on; the same one again changes nothing. Raises MetadataRefused, NotFound."""
    permit = _verified(tx, envelope)
    _known(tx, permit)
    key = (permit.model, permit.from_version, permit.to_version)
    if tx.get(Permit, key) is None:
        tx.add(
            Permit(
                model=permit.model,
                from_version=permit.from_version,
                to_version=permit.to_version,
                envelope=envelope.encode(),
                added_at=at,
                added_by=actor,
            )
        )
        audit.record(
            tx,
            at=at,
            actor=actor,
            action="permit.add",
            object=f"release {permit.model}@{permit.to_version}",
            after={"from": permit.from_version, "to": permit.to_version},
        )
        tx.announce("rollouts")
    return permit


def permit_for(tx: Transaction, model: str, *, running: str, wanted: str) -> JsonObject | None:
    """The envelope for a device that runs one version and shall run the other, if there is one."""
    row = tx.get(Permit, (model, running, wanted))
    if row is None:
        return None
    return parse_object(row.envelope, what="permit", max_bytes=LIMITS.manifest_max_bytes)


def permitted_from(tx: Transaction, model: str, version: str) -> Sequence[str]:
    """The versions that a device which runs `version` may go back to by a permit."""
    query = select(Permit.to_version).where(Permit.model == model, Permit.from_version == version)
    return tuple(tx.exec(query.order_by(col(Permit.to_version))))


def permitting(tx: Transaction, model: str, version: str) -> frozenset[str]:
    """The versions from which a permit leads back to `version`."""
    query = select(Permit.from_version).where(Permit.model == model, Permit.to_version == version)
    return frozenset(tx.exec(query))


def team_of(envelope: Envelope) -> str:
    """The team that a permit says it is of, before anything is checked. Raises MetadataRefused."""
    return ModelName.parse(_parsed(envelope).model).team


def _parsed(envelope: Envelope) -> DowngradePermit:
    try:
        return DowngradePermit.parse(envelope.payload)
    except LimosaError as error:
        raise MetadataRefused("this is no downgrade permit", where="permit", why=str(error)) from error


def _verified(tx: Transaction, envelope: Envelope) -> DowngradePermit:
    team = team_of(envelope)
    refused: LimosaError | None = None
    for key in team_keys(tx, team):
        try:
            return DowngradePermit.verify(envelope, key)
        except LimosaError as error:
            refused = error  # a team may have two keys during a rotation
    raise MetadataRefused(
        f"the permit is not signed by team {team!r}", where="permit", why=str(refused or "it has no key")
    )


def _known(tx: Transaction, permit: DowngradePermit) -> None:
    for version in (permit.from_version, permit.to_version):
        query = select(Release.id).where(Release.model == permit.model, Release.version == version)
        if tx.exec(query).first() is None:
            raise NotFound(f"the server has no release {permit.model}@{version}", hint="limosa release list")
