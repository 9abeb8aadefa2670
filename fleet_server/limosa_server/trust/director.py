"""Signs what each device shall run, with the director's key (trust 4). The only place that does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import select as select_columns
from sqlalchemy.orm.util import identity_key
from sqlmodel import col

from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState, Farewell
from limosa_contracts.dsse import Envelope
from limosa_contracts.signing_keys import SigningKey
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access import audit_heads
from limosa_server.core.desired import LIFE_S, document, next_counter
from limosa_server.core.device_state import DeviceState
from limosa_server.mqtt import outbox
from limosa_server.store import Transaction
from limosa_server.store.bulk import Upsert
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device
from limosa_server.tables.rollouts import DesiredDocument
from limosa_server.trust.assignments import assignments

_COLUMNS: Final = ("device", "epoch", "counter", "envelope", "issued", "expires", "keyid")
_Row: TypeAlias = tuple[str, int, int, bytes, float, float, str]  # of _COLUMNS
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
        return self.issue_many(tx, [device], now=now)[device]

    def issue_many(
        self, tx: Transaction, devices: Iterable[str], *, now: float
    ) -> dict[str, tuple[int, int]]:
        """The same of each of them, in a number of statements that does not grow with them. Not of those
        that are decommissioned: after its farewell a device is told nothing, whoever has it on a list."""
        tx.flush()  # what was assigned in this transaction counts
        orders: dict[str, tuple[int, int]] = {}
        for some in in_rounds(sorted(set(devices))):
            orders |= self._issue(tx, some, now)
        return orders

    def farewell(self, tx: Transaction, row: Device, *, now: float) -> DesiredDocument:
        """Signs and publishes the last document of a device that is decommissioned. The broker keeps it for
        as long as it holds, should the device come back under another broker's eyes before the server's."""
        key, epoch = self.key(), self.epoch()
        before, seen, _ = _counters(tx, [row.id], epoch)[row.id]
        state = document(
            row.id,
            (),
            epoch=epoch,
            counter=next_counter(before, now=now, reported=seen),
            now=now,
            audit_head=audit_heads.newest_text(tx),
            life_s=self.life_s,
            farewell=Farewell(at=int(row.ended_at or now), reason=row.ended_reason),
        )
        envelope = Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=key).encode()
        _keep(tx, [_row(state, envelope, key.public.keyid)])
        topic = device_topic(row.id, Suffix.DESIRED)
        outbox.publish(tx, at=now, topic=topic, payload=envelope, retain=True, expiry_s=self.life_s)
        return tx.get_one(DesiredDocument, row.id)

    def _issue(self, tx: Transaction, devices: Sequence[str], now: float) -> dict[str, tuple[int, int]]:
        key, epoch = self.key(), self.epoch()
        keyid = key.public.keyid
        head = audit_heads.newest_text(tx)  # trust 4.2: it rides along, and is never the reason
        counters = _counters(tx, devices, epoch)
        rows: list[_Row] = []
        for device, wanted in assignments(tx, devices).items():
            before, seen, gone = counters.get(device, (0, 0, False))
            if gone:
                continue
            state = document(
                device,
                wanted,
                epoch=epoch,
                counter=next_counter(before, now=now, reported=seen),
                now=now,
                audit_head=head,
                life_s=self.life_s,
            )
            envelope = Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=key, keyid=keyid)
            rows.append(_row(state, envelope.encode(), keyid))
        _keep(tx, rows)
        messages = [(device_topic(row[0], Suffix.DESIRED), row[3]) for row in rows]
        outbox.publish_retained(tx, messages, at=now)
        return {row[0]: (epoch, row[2]) for row in rows}

    def stands_by(self, row: DesiredDocument) -> bool:
        """Whether it is of the epoch and under the key that hold now."""
        return (row.epoch, row.keyid) == (self.epoch(), self.key().public.keyid)

    def stale(self, tx: Transaction, *, now: float, limit: int, after: str = "") -> tuple[Sequence[str], str]:
        """(devices whose document is past half of its life, of another epoch or key, or below what they
        saw; the device to go on after, "" for the beginning). It looks at LOOKED_AT documents, in the order
        of their devices: a fleet's documents are gone through again and again, a part in each tick."""
        row = DesiredDocument
        issued, expires = col(row.issued), col(row.expires)
        half = expires - (expires - issued) / 2
        keyid, epoch = self.key().public.keyid, self.epoch()
        above = (col(Device.desired_epoch) == epoch) & (col(Device.desired_counter) > col(row.counter))
        # The limit is over the join: under it, PostgreSQL would read every device to join LOOKED_AT of them.
        found = tx.execute(
            select_columns(
                col(row.device),
                (col(Device.state) == DeviceState.ACTIVE)
                & ((half <= now) | (col(row.epoch) != epoch) | (col(row.keyid) != keyid) | above),
            )
            .join(Device, col(Device.id) == col(row.device))
            .where(col(row.device) > after, col(Device.id) > after)
            .order_by(col(row.device))
            .limit(LOOKED_AT)
        ).all()
        stale = [device for device, is_stale in found if is_stale][:limit]
        if len(stale) == limit:
            return stale, stale[-1]
        return stale, found[-1][0] if len(found) == LOOKED_AT else ""


def _row(state: DesiredState, envelope: bytes, keyid: str) -> _Row:
    return (
        state.device, state.epoch, state.counter, envelope, float(state.issued), float(state.expires), keyid
    )  # fmt: skip


def _counters(tx: Transaction, devices: Sequence[str], epoch: int) -> dict[str, tuple[int, int, bool]]:
    """device -> (counter of its last document, counter that it has seen, both of this epoch; whether it is
    decommissioned).

    trust 4.3: a device that has seen a higher counter of this epoch is not left behind.
    """
    rows = tx.execute(
        select_columns(
            col(Device.id),
            col(DesiredDocument.epoch),
            col(DesiredDocument.counter),
            col(Device.desired_epoch),
            col(Device.desired_counter),
            col(Device.state) == DeviceState.DECOMMISSIONED,
        )
        .join(DesiredDocument, col(DesiredDocument.device) == col(Device.id), isouter=True)
        .where(col(Device.id).in_(devices))
    )
    return {
        device: (before if of == epoch else 0, seen if seen_of == epoch else 0, bool(gone))
        for device, of, before, seen_of, seen, gone in rows
    }


def _keep(tx: Transaction, rows: Sequence[_Row]) -> None:
    Upsert.of(tx, DesiredDocument, _COLUMNS, key=("device",)).put(tx, rows)
    for row in rows:  # what this transaction has read of them is not what the table holds any more
        known = tx.identity_map.get(identity_key(DesiredDocument, row[0]))
        if known is not None:
            tx.expire(known)
