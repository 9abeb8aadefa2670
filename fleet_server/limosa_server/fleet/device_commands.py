"""Asks one device something, and takes its answer (server 3.1). The database is where both meet."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, update
from sqlmodel import col, select

from limosa_contracts.device_command import (
    ANSWER_TYPE,
    COMMAND_TYPE,
    CommandAnswer,
    DeviceCommand,
    Outcome,
)
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, NotFound, SignatureMismatch
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey, Signs
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access import audit
from limosa_server.core.device_state import DeviceState
from limosa_server.errors import DeviceOffline, TooManyCommands
from limosa_server.mqtt import outbox
from limosa_server.store import Store, Transaction
from limosa_server.tables.commands import CommandRow
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust.pki import key_of_certificate

log = logging.getLogger(__name__)

ID_BYTES: Final = 12
OPEN_MAX: Final = 8  # of one device, unanswered: it obeys a few at a time
KEPT_S: Final = 86400.0  # then question and answer are forgotten
SHOWN: Final = 20  # of one device


def new_id() -> str:
    """Drawn, so that nobody can answer what was not asked."""
    return f"c{secrets.token_hex(ID_BYTES)}"


def send(tx: Transaction, command: DeviceCommand, *, key: Signs, now: float, actor: str) -> CommandRow:
    """Goes out with this commit, signed with the director's `key`.

    Raises NotFound, DeviceOffline for one that would not hear it, TooManyCommands.
    """
    row = tx.get(Device, command.device)
    if row is None:
        raise NotFound(f"there is no device {command.device}", where="device", hint="limosa device list")
    _check_hears(row)
    waiting = select(CommandRow.id).where(
        CommandRow.device == row.id, CommandRow.state == "sent", CommandRow.expires_at > now
    )
    if len(tx.exec(waiting.limit(OPEN_MAX)).all()) >= OPEN_MAX:
        raise TooManyCommands(f"{OPEN_MAX} commands to {row.id} wait for an answer", where=f"device {row.id}")
    asked = CommandRow(
        id=command.id,
        device=row.id,
        kind=command.kind.value,
        asked=command.as_json(),
        created_at=now,
        created_by=actor,
        expires_at=command.expires,
    )
    tx.add(asked)
    envelope = Envelope.sign(command.encode(), payload_type=COMMAND_TYPE, key=key)
    outbox.publish(
        tx,
        at=now,
        topic=device_topic(row.id, Suffix.CMD),
        payload=envelope.encode(),
        expiry_s=max(1, int(command.expires - now)),
        answer_to=device_topic(row.id, Suffix.ANSWER),
        correlation=command.id,
    )
    audit.record(
        tx, at=now, actor=actor, action="device.command", object=f"device {row.id}",
        after={"id": command.id, "kind": command.kind.value},
    )  # fmt: skip
    return asked


def _check_hears(row: Device) -> None:
    if row.state != DeviceState.ACTIVE:
        raise DeviceOffline(
            f"{row.id} is not in the fleet any more",
            where=f"device {row.id}",
            why=row.state,
            hint=f"limosa device show {row.id} says when and why",
        )
    if not row.online:
        raise DeviceOffline(
            f"{row.id} is not connected", where=f"device {row.id}", why="a command is for this moment"
        )


def find(tx: Transaction, device: str, command: str) -> CommandRow:
    """Raises NotFound: it was never sent, or a day has passed."""
    row = tx.get(CommandRow, command)
    if row is None or row.device != device:
        raise NotFound(f"there is no command {command[:40]!r} to this device", where="command")
    return row


def latest(tx: Transaction, device: str, *, limit: int = SHOWN) -> Sequence[CommandRow]:
    """The newest first."""
    rows = select(CommandRow).where(CommandRow.device == device)
    return tx.exec(rows.order_by(col(CommandRow.created_at).desc(), col(CommandRow.id)).limit(limit)).all()


def state_of(row: CommandRow, *, now: float) -> str:
    """sent | done | refused | no_answer."""
    return "no_answer" if row.state == "sent" and now > row.expires_at else row.state


def shape(row: CommandRow, *, now: float, whole: bool = True) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "id": row.id,
        "device": row.device,
        "kind": row.kind,
        "state": state_of(row, now=now),
        "why": row.why,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "answered_at": row.answered_at,
        "cut": row.cut,
    }
    return {**found, "answer": dict(row.answer)} if whole else found


def take_answers(store: Store, answers: Sequence[tuple[str, bytes]], *, now: float) -> int:
    """(device, envelope) as the broker brought them; how many were to something that was asked.

    Nothing is acknowledged, so nothing is raised: what is not the device's answer is only noted.
    """
    read: dict[str, tuple[str, Envelope]] = {}
    for device, payload in answers:
        try:
            envelope = Envelope.parse(payload, max_bytes=LIMITS.mqtt_message_max_bytes)
            read.setdefault(CommandAnswer.parse(envelope.payload).id, (device, envelope))
        except LimosaError as error:
            log.warning("an answer of %s cannot be read: %s", device, error)
    with store.read() as tx:
        rows = tx.exec(
            select(CommandRow).where(col(CommandRow.id).in_(read), CommandRow.state == "sent")
        ).all()
        keys = _keys(tx, {row.device for row in rows})
    good = [
        answer
        for row in rows
        if read[row.id][0] == row.device
        and (answer := _verified(read[row.id][1], keys.get(row.device, ()), device=row.device)) is not None
    ]
    if not good:
        return 0
    with store.transaction() as tx:
        for answer in good:
            _keep(tx, answer, now)
    return len(good)


def forget(tx: Transaction, *, now: float) -> None:
    """Questions and answers of more than a day ago."""
    tx.execute(delete(CommandRow).where(col(CommandRow.created_at) < now - KEPT_S))


def _keys(tx: Transaction, devices: set[str]) -> Mapping[str, Sequence[PublicKey]]:
    found: dict[str, list[PublicKey]] = {}
    rows = tx.exec(
        select(DeviceCertificate.device, DeviceCertificate.pem).where(
            col(DeviceCertificate.device).in_(devices), col(DeviceCertificate.revoked_at).is_(None)
        )
    )
    for device, pem in rows:
        found.setdefault(device, []).append(key_of_certificate(pem))
    return found


def _verified(envelope: Envelope, keys: Sequence[PublicKey], *, device: str) -> CommandAnswer | None:
    for key in keys:
        try:
            answer = CommandAnswer.parse(envelope.verify(key, payload_type=ANSWER_TYPE))
        except SignatureMismatch:
            continue  # it may be signed with the key before a renewal
        return answer if answer.device == device else None
    log.warning("an answer is not signed by %s", device)
    return None


def _keep(tx: Transaction, answer: CommandAnswer, now: float) -> None:
    """The first answer counts, compared in SQL."""
    tx.execute(
        update(CommandRow)
        .where(col(CommandRow.id) == answer.id, col(CommandRow.state) == "sent")
        .values(
            state="done" if answer.outcome is Outcome.DONE else "refused",
            why=answer.why,
            cut=answer.cut,
            answered_at=now,
            answer=dict(answer.body),
        )
    )
    tx.announce(f"device {answer.device}")
