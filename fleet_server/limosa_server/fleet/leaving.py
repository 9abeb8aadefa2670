"""How a device leaves the fleet: revoked, which may be undone; decommissioned, which is for good; or its
place taken by new hardware. Its row and what it did stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, update
from sqlmodel import col

from limosa_contracts.errors import Conflict
from limosa_contracts.json_value import JsonValue
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access import audit, tokens
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet import membership
from limosa_server.fleet.departure import Departed, Departure, LeavingHandler
from limosa_server.fleet.labels import TOKEN, said_by
from limosa_server.mqtt import outbox
from limosa_server.store import Transaction
from limosa_server.tables.access import EnrollmentToken
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceModel
from limosa_server.tables.rollouts import AssignmentRow
from limosa_server.trust.revocation_list import ANNOUNCED

REPLACE: Final = "device.replace"


def revoke(
    tx: Transaction, row: Device, handlers: Sequence[LeavingHandler], *, reason: str, now: float, actor: str
) -> None:
    """Its certificates and reports count no more. Its groups and what it shall run stay, for it may be
    let in again with a token for it. Once is as often."""
    if row.state != DeviceState.ACTIVE:
        return
    _shut_out(tx, row, handlers, Departure(device=row.id, how=Departed.REVOKED, reason=reason, at=now))
    audit.record(
        tx, at=now, actor=actor, action="device.revoke", object=f"device {row.id}", after={"reason": reason}
    )


def decommission(
    tx: Transaction, row: Device, handlers: Sequence[LeavingHandler], *, reason: str, now: float, actor: str
) -> bool:
    """It is scrapped, sold or lost: like revoked, and it leaves every group and every rollout, nothing is
    assigned to it and no token lets it in any more. Whether it was not so before: then the director tells
    it, with its last document."""
    if row.state == DeviceState.DECOMMISSIONED:
        return False
    before: dict[str, JsonValue] = {"state": row.state}
    gone = Departure(device=row.id, how=Departed.DECOMMISSIONED, reason=reason, at=now)
    ended = _shut_out(tx, row, handlers, gone)
    left = membership.leave_all(tx, [row.id], now=now)
    tx.execute(delete(AssignmentRow).where(col(AssignmentRow.device) == row.id))
    # What the broker retains of its presence is taken away.
    outbox.publish(tx, at=now, topic=device_topic(row.id, Suffix.STATUS), payload=b"", retain=True)
    end_tokens(tx, row.id, now=now)
    audit.record(
        tx, at=now, actor=actor, action="device.decommission", object=f"device {row.id}", before=before,
        after={"reason": reason, "groups": sorted(left), **ended},
    )  # fmt: skip
    return True


def decommissioned(device: str) -> Conflict:
    return Conflict(
        f"{device} is decommissioned",
        where=f"device {device}",
        hint="a new device takes a new name: limosa device enroll-token",
    )


def end_tokens(tx: Transaction, device: str, *, now: float) -> None:
    """No token that is out, whoever made it, lets anybody in under this name any more."""
    tx.execute(
        update(EnrollmentToken)
        .where(
            col(EnrollmentToken.device) == device,
            col(EnrollmentToken.used_at).is_(None),
            col(EnrollmentToken.revoked_at).is_(None),
        )
        .values(revoked_at=now)
    )


def replacement(
    tx: Transaction, row: Device, *, serial: str, expires_at: float, now: float, actor: str
) -> tuple[EnrollmentToken, str]:
    """A token with which new hardware takes the place of this device: (its row, its text, shown once).

    The old hardware goes on until the token is used, and is shut out in that moment. Raises Conflict.
    """
    if row.state == DeviceState.DECOMMISSIONED:
        raise decommissioned(row.id)
    drawn = tokens.draw("lmt")
    token = EnrollmentToken(
        id=drawn.id,
        secret_sha256=drawn.secret_sha256,
        created_at=now,
        created_by=actor,
        expires_at=expires_at,
        device=row.id,
        serial=serial,
        labels=dict(said_by(tx, row.id, TOKEN)),  # selectors go on seeing what they saw
    )
    tx.add(token)
    audit.record(
        tx, at=now, actor=actor, action=REPLACE, object=f"device {row.id}",
        before={"serial": row.serial}, after={"token": token.id, "serial": serial},
    )  # fmt: skip
    return token, drawn.text


def make_room(tx: Transaction, row: Device, handlers: Sequence[LeavingHandler], *, now: float) -> None:
    """New hardware comes in under this device's name: what only the old one could say is forgotten.

    Its certificates count no more, and its connections' numbers do not either: the first one of the new
    hardware must not be taken for an old one.
    """
    _revoke_certificates(tx, row.id, now)
    _tell(tx, handlers, Departure(device=row.id, how=Departed.REPLACED, reason="", at=now))
    tx.execute(delete(DeviceModel).where(col(DeviceModel.device) == row.id))
    row.online, row.presence_session = False, 0
    row.desired_epoch = row.desired_counter = 0
    row.ended_at, row.ended_reason = None, ""
    row.agent, row.boot, row.resources, row.reported_at = "", "", {}, None


def _shut_out(
    tx: Transaction, row: Device, handlers: Sequence[LeavingHandler], gone: Departure
) -> dict[str, JsonValue]:
    row.state, row.online, row.ended_at, row.ended_reason = gone.how.value, False, gone.at, gone.reason
    tx.add(row)
    tx.flush()
    _revoke_certificates(tx, row.id, gone.at)
    tx.announce("devices", f"device {row.id}", ANNOUNCED)
    return _tell(tx, handlers, gone)


def _tell(tx: Transaction, handlers: Sequence[LeavingHandler], gone: Departure) -> dict[str, JsonValue]:
    """What they ended, for the audit."""
    ended: dict[str, JsonValue] = {}
    for handler in handlers:
        ended.update(handler(tx, gone))
    return ended


def _revoke_certificates(tx: Transaction, device: str, now: float) -> None:
    tx.execute(
        update(DeviceCertificate)
        .where(col(DeviceCertificate.device) == device, col(DeviceCertificate.revoked_at).is_(None))
        .values(revoked_at=now)
    )
