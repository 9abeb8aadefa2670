"""What devices send up: verified, parsed, committed in batches, then acknowledged (server 3.3).

The same code takes reports from MQTT and from HTTPS. Signatures and parsing happen before the
transaction; numbering, rows and the handlers of the rollout side happen in it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlmodel import col, select

from limosa_contracts.errors import LimosaError, SignatureMismatch, TooLarge
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.signing_keys import PublicKey
from limosa_server.reports import report_rows
from limosa_server.reports.report_parsing import Parsed, parse_report
from limosa_server.state import Report, ServerState
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.tables.reports import InboxMark
from limosa_server.trust.pki import key_of_certificate

log = logging.getLogger(__name__)
KEYS_CACHED: Final = 20_000
NUMBER_MAX: Final = 2**63 - 1  # what a column of the database holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    device: str
    message: ReportMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAck:
    device: str
    ack: Ack


class Ingest:
    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._keys: OrderedDict[str, PublicKey] = OrderedDict()  # by certificate fingerprint

    def take(self, batch: Sequence[Incoming]) -> list[DeviceAck]:
        """Commits what is new and gives the acknowledgements to send. What is not signed by an active
        device of ours is counted and gets none."""
        signed = self._verified(batch)
        parsed = [(one.device, parse_report(one.device, one.message, self._max_bytes)) for one in signed]
        try:
            return self._commit(parsed)
        except LimosaError:
            raise  # busy: nobody is acknowledged, so all of it comes again
        except Exception:
            if len({device for device, _ in parsed}) == 1:
                raise
            return self._commit_one_by_one(parsed)

    @property
    def _max_bytes(self) -> int:
        return self._state.settings.limits.mqtt_payload_max_bytes

    def _commit_one_by_one(self, parsed: Sequence[tuple[str, Parsed]]) -> list[DeviceAck]:
        """One device's reports that cannot be stored must not stop everybody's."""
        acks: list[DeviceAck] = []
        for device in dict.fromkeys(device for device, _ in parsed):
            try:
                acks.extend(self._commit([pair for pair in parsed if pair[0] == device]))
            except Exception:  # recorded; the device is not acknowledged and sends again
                log.exception("reports of %s cannot be stored", device)
        return acks

    def _commit(self, parsed: Sequence[tuple[str, Parsed]]) -> list[DeviceAck]:
        if not parsed:
            return []
        now = self._state.clock()
        outcomes: list[tuple[str, str]] = []
        with self._state.store.transaction() as tx:
            marks = _marks(tx, {device for device, _ in parsed})
            fresh: dict[str, list[Report]] = {}
            touched: dict[tuple[str, int], int] = {}
            for device, one in parsed:
                place = (device, one.message.session)
                mark = marks.get(place, 0)
                message = one.message
                if message.prev <= mark < message.seq:  # go-back-N: nothing is missing before it
                    marks[place] = message.seq
                    outcomes.append((message.suffix.value, report_rows.store(tx, device, one, now)))
                    if one.report is not None:
                        fresh.setdefault(device, []).append(one.report)
                else:
                    outcomes.append((message.suffix.value, "duplicate" if message.seq <= mark else "gap"))
                touched[place] = marks.get(place, 0)
            report_rows.advance(tx, touched, now)
            for device, reports in fresh.items():
                report_rows.seen(tx, device, now)
                for handler in self._state.report_handlers:
                    handler(tx, device, reports, now)
                if report_rows.labels_changed(tx, device, reports):
                    for follow in self._state.device_handlers:
                        follow(tx, device, "", now)
                tx.announce("devices", f"device {device}")
        self._count(outcomes)
        return [
            DeviceAck(device=device, ack=Ack(session=session, seq=mark))
            for (device, session), mark in touched.items()
        ]

    def _verified(self, batch: Sequence[Incoming]) -> list[Incoming]:
        keys = self._keys_of({one.device for one in batch})
        good: list[Incoming] = []
        for one in batch:
            if self._is_signed(one, keys.get(one.device, ())):
                good.append(one)
            else:
                # Never acknowledged: who sent it may not be the device (trust 4.5).
                log.warning("a %s of %s is not signed by it", one.message.suffix.value, one.device)
                self._count([(one.message.suffix.value, "unsigned")])
        return good

    @staticmethod
    def _is_signed(one: Incoming, keys: Sequence[PublicKey]) -> bool:
        if max(one.message.session, one.message.seq, one.message.prev) > NUMBER_MAX:
            return False  # no outbox counts that far
        for key in keys:
            try:
                one.message.verify(key, device=one.device)
            except SignatureMismatch:
                continue  # it may be signed with the key before a renewal
            return True
        return False

    def _keys_of(self, devices: set[str]) -> Mapping[str, Sequence[PublicKey]]:
        """Keys of every certificate that is not revoked, the newest first."""
        query = (
            select(DeviceCertificate)
            .join(Device, col(Device.id) == col(DeviceCertificate.device))
            .where(
                col(DeviceCertificate.device).in_(devices),
                col(DeviceCertificate.revoked_at).is_(None),
                col(Device.state) == "active",
            )
            .order_by(col(DeviceCertificate.issued_at).desc())
        )
        found: dict[str, list[PublicKey]] = {}
        with self._state.store.read() as tx:
            for row in tx.exec(query):
                found.setdefault(row.device, []).append(self._key(row))
        return found

    def _key(self, row: DeviceCertificate) -> PublicKey:
        key = self._keys.get(row.fingerprint)
        if key is None:
            key = self._keys[row.fingerprint] = key_of_certificate(row.pem)
            if len(self._keys) > KEYS_CACHED:
                self._keys.popitem(last=False)
        return key

    def _count(self, outcomes: Sequence[tuple[str, str]]) -> None:
        for kind, result in outcomes:
            self._state.metrics.reports.labels(kind=kind, result=result).inc()
            if kind == "tele/window":
                self._state.metrics.sketch_reports.labels(result=result).inc()


def check_batch_size(messages: int, limit: int) -> None:
    """Raises TooLarge."""
    if messages > limit:
        raise TooLarge(f"{messages} messages in one request", where="messages", why=f"at most {limit}")


def _marks(tx: Transaction, devices: set[str]) -> dict[tuple[str, int], int]:
    rows = tx.exec(select(InboxMark).where(col(InboxMark.device).in_(devices)))
    return {(row.device, row.session): row.mark for row in rows}
