"""Signs what each device shall run, with the director's key (trust 4). The only place that does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredModel, Trial
from limosa_contracts.dsse import Envelope
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access import audit_heads
from limosa_server.core.desired import LIFE_S, Assignment, document, next_counter
from limosa_server.mqtt import outbox
from limosa_server.rollouts import shadow_lane
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.rollouts import AssignmentRow, DesiredDocument
from limosa_server.trust.permits import permit_for

LOOKED_AT: Final = 2000  # documents that one tick looks at, to see which are to be signed anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Director:
    """`key` and `epoch` are asked for each document: both are files outside the database, and either may
    be replaced while the server runs (trust 1.2, 4.3)."""

    key: Callable[[], SigningKey]
    epoch: Callable[[], int]
    life_s: int = LIFE_S

    def issue(self, tx: Transaction, device: str, *, now: float) -> tuple[int, int]:
        """Signs and publishes the device's document in the caller's transaction: (epoch, counter)."""
        rows = tx.exec(select(AssignmentRow).where(AssignmentRow.device == device)).all()
        previous = tx.get(DesiredDocument, device)
        about = tx.get(Device, device)
        key, epoch = self.key(), self.epoch()
        # trust 4.3: a device that has seen a higher counter of this epoch is not left behind
        seen = about.desired_counter if about is not None and about.desired_epoch == epoch else 0
        before = previous.counter if previous is not None and previous.epoch == epoch else 0
        state = document(
            device,
            [*(_assignment(row, _permit(tx, row)) for row in rows), *shadow_lane.assignments(tx, device)],
            epoch=epoch,
            counter=next_counter(before, now=now, reported=seen),
            now=now,
            audit_head=audit_heads.newest_text(tx),  # trust 4.2: it rides along, and is never the reason
            life_s=self.life_s,
        )
        envelope = Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=key).encode()
        issued = previous or DesiredDocument(
            device=device, epoch=0, counter=0, envelope=b"", issued=0.0, expires=0.0
        )
        issued.epoch, issued.counter, issued.envelope = epoch, state.counter, envelope
        issued.issued, issued.expires = float(state.issued), float(state.expires)
        issued.keyid = key.public.keyid
        tx.add(issued)
        outbox.publish(tx, at=now, topic=device_topic(device, Suffix.DESIRED), payload=envelope, retain=True)
        return epoch, state.counter

    def stands_by(self, row: DesiredDocument) -> bool:
        """Whether it is of the epoch and under the key that hold now."""
        return (row.epoch, row.keyid) == (self.epoch(), self.key().public.keyid)

    def stale(self, tx: Transaction, *, now: float, limit: int, after: str = "") -> tuple[Sequence[str], str]:
        """(devices whose document is past half of its life, of another epoch or key, or below what they
        saw; the device to go on after, "" for the beginning). It looks at LOOKED_AT documents, in the order
        of their devices: a fleet's documents are gone through again and again, a part in each tick."""
        part = (
            select_columns(
                *(
                    col(one)
                    for one in (
                        DesiredDocument.device,
                        DesiredDocument.epoch,
                        DesiredDocument.counter,
                        DesiredDocument.keyid,
                        DesiredDocument.issued,
                        DesiredDocument.expires,
                    )
                )
            )
            .where(col(DesiredDocument.device) > after)
            .order_by(col(DesiredDocument.device))
            .limit(LOOKED_AT)
            .subquery()
        )
        half = part.c.expires - (part.c.expires - part.c.issued) / 2
        keyid, epoch = self.key().public.keyid, self.epoch()
        above = (col(Device.desired_epoch) == epoch) & (col(Device.desired_counter) > part.c.counter)
        found = tx.execute(
            select_columns(
                part.c.device,
                (col(Device.state) == "active")
                & ((half <= now) | (part.c.epoch != epoch) | (part.c.keyid != keyid) | above),
            )
            .join(Device, col(Device.id) == part.c.device)
            .order_by(part.c.device)
        ).all()
        stale = [device for device, is_stale in found if is_stale][:limit]
        if len(stale) == limit:
            return stale, stale[-1]
        return stale, found[-1][0] if len(found) == LOOKED_AT else ""


def _permit(tx: Transaction, row: AssignmentRow) -> JsonObject | None:
    """trust 2.4: for the step from what the device last said it runs."""
    said = tx.get(DeviceModel, (row.device, row.model))
    if said is None or not said.active_version:
        return None
    return permit_for(tx, row.model, running=said.active_version, wanted=row.version)


def _assignment(row: AssignmentRow, permit: JsonObject | None) -> Assignment:
    return Assignment(
        model=DesiredModel(
            model=row.model,
            version=row.version,
            index_sha256=row.index_sha256,
            rollout=row.rollout,
            attempt=row.attempt,
            trial=Trial.parse(Fields(row.trial, where="trial")),
            window=row.windows or None,
            permit=permit,
        ),
        report_every_s=row.report_every_s,
        report_every_in_probation_s=row.report_every_in_probation_s,
    )
