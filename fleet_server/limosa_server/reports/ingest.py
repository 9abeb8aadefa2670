"""What devices send up: verified, parsed, committed in batches, then acknowledged (server 3.3).

The same code takes reports from MQTT and from HTTPS. Signatures and parsing happen before the
transaction; numbering, rows and the handlers of the rollout side happen in it.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlmodel import col, select

from limosa_contracts.errors import LimosaError, TooLarge
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet import reported_labels
from limosa_server.reports import marks, report_rows
from limosa_server.reports.check_wire import Claimed
from limosa_server.reports.checking import Checkers
from limosa_server.reports.report_parsing import Checked, Parsed, Refusal
from limosa_server.state import Report, ServerState
from limosa_server.store import Transaction
from limosa_server.store.among import among
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust.pki import key_of_certificate

log = logging.getLogger(__name__)
KEYS_CACHED: Final = 20_000
Outcomes: TypeAlias = Counter[tuple[str, str]]
"""(kind, result) -> how many messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    device: str
    message: ReportMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAck:
    device: str
    ack: Ack


class Ingest:
    """`check` and `commit` may be called by two threads, each by one."""

    def __init__(self, state: ServerState, *, workers: int | None = 0) -> None:
        """`workers`: processes that share in checking large batches, None for as many as there are cores."""
        self._state = state
        self._keys: OrderedDict[str, bytes] = OrderedDict()  # PEM by certificate fingerprint
        limits = state.settings.limits
        self._checkers = Checkers(max_bytes=limits.mqtt_payload_max_bytes, workers=workers)

    def stop(self) -> None:
        self._checkers.stop()

    def take(self, batch: Sequence[Incoming]) -> list[DeviceAck]:
        """Commits what is new and gives the acknowledgements to send. What is not signed by an active
        device of ours is counted and gets none."""
        return self.commit(self.check(batch))

    def check(self, batch: Sequence[Incoming]) -> list[Checked]:
        """Those that are signed by an active device of ours, in order."""
        keys = self._keys_of({one.device for one in batch})
        claimed = [
            Claimed(device=one.device, message=one.message, keys=keys.get(one.device, ())) for one in batch
        ]
        good: list[Checked] = []
        for one, verdict in zip(batch, self._checkers.check(claimed), strict=True):
            if verdict is None:
                # Never acknowledged: who sent it may not be the device (trust 4.5).
                log.warning("a %s of %s is not signed by it", one.message.suffix.value, one.device)
                self._count(Counter([(one.message.suffix.value, "unsigned")]))
                continue
            refused = verdict if isinstance(verdict, Refusal) else None
            report = None if isinstance(verdict, Refusal) else verdict
            parsed = Parsed(message=one.message, report=report, refused=refused)
            good.append(Checked(device=one.device, parsed=parsed))
        return good

    def commit(self, checked: Sequence[Checked]) -> list[DeviceAck]:
        """All of it or, if one device's cannot be stored, everybody else's.

        Raises StoreBusy, StorageFull, StoreDown: nobody is acknowledged then, so all of it comes again.
        """
        try:
            return self._commit(checked)
        except LimosaError:
            raise
        except Exception:
            if len({one.device for one in checked}) == 1:
                raise
            return self._commit_one_by_one(checked)

    def _commit_one_by_one(self, checked: Sequence[Checked]) -> list[DeviceAck]:
        """One device's reports that cannot be stored must not stop everybody's."""
        acks: list[DeviceAck] = []
        for device in dict.fromkeys(one.device for one in checked):
            try:
                acks.extend(self._commit([one for one in checked if one.device == device]))
            except LimosaError:
                raise
            except Exception:  # recorded; the device is not acknowledged and sends again
                log.exception("reports of %s cannot be stored", device)
        return acks

    def _commit(self, checked: Sequence[Checked]) -> list[DeviceAck]:
        if not checked:
            return []
        now = self._state.clock()
        outcomes: Outcomes = Counter()
        with self._state.store.transaction() as tx:
            known = marks.of(tx, {one.device for one in checked})
            fresh, touched = _numbered(checked, known, outcomes)
            quota = self._state.settings.retention.progress_per_day
            outcomes.update(report_rows.store(tx, fresh, now, progress_per_day=quota))
            marks.advance(tx, touched, now, known=known)
            self._tell(tx, fresh, now)
        self._count(outcomes)
        return [
            DeviceAck(device=device, ack=Ack(session=session, seq=mark))
            for (device, session), mark in touched.items()
        ]

    def _tell(self, tx: Transaction, fresh: Sequence[Checked], now: float) -> None:
        reports: dict[str, list[Report]] = {}
        for one in fresh:
            if one.parsed.report is not None:
                reports.setdefault(one.device, []).append(one.parsed.report)
        if not reports:
            return
        report_rows.seen(tx, list(reports), now)
        for handler in self._state.report_handlers:
            handler(tx, reports, now)
        if changed := reported_labels.take(tx, reports):
            for follow in self._state.device_handlers:
                follow(tx, changed, "", now)
        tx.announce("devices", *(f"device {device}" for device in reports))

    def _keys_of(self, devices: set[str]) -> Mapping[str, Sequence[bytes]]:
        """Keys of every certificate that is not revoked, the newest first."""
        query = (
            select(DeviceCertificate.device, DeviceCertificate.fingerprint, DeviceCertificate.pem)
            .join(Device, col(Device.id) == col(DeviceCertificate.device))
            .where(col(DeviceCertificate.revoked_at).is_(None), col(Device.state) == DeviceState.ACTIVE)
            .order_by(col(DeviceCertificate.issued_at).desc())
        )
        found: dict[str, list[bytes]] = {}
        with self._state.store.read() as tx:
            ours = among(tx, col(DeviceCertificate.device), devices)
            for device, fingerprint, pem in tx.exec(query.where(ours)):
                found.setdefault(device, []).append(self._key(fingerprint, pem))
        return found

    def _key(self, fingerprint: str, pem: str) -> bytes:
        key = self._keys.get(fingerprint)
        if key is None:
            key = self._keys[fingerprint] = key_of_certificate(pem).pem()
            if len(self._keys) > KEYS_CACHED:
                self._keys.popitem(last=False)
        return key

    def _count(self, outcomes: Outcomes) -> None:
        for (kind, result), count in outcomes.items():
            self._state.metrics.reports.labels(kind=kind, result=result).inc(count)
            if kind == "tele/window":
                self._state.metrics.sketch_reports.labels(result=result).inc(count)


def check_batch_size(messages: int, limit: int) -> None:
    """Raises TooLarge."""
    if messages > limit:
        raise TooLarge(f"{messages} messages in one request", where="messages", why=f"at most {limit}")


def _numbered(
    checked: Sequence[Checked], known: Mapping[marks.Place, int], outcomes: Outcomes
) -> tuple[list[Checked], dict[marks.Place, int]]:
    """What is new, in the order of each outbox, and the mark of every (device, session) that has spoken.

    What came before its predecessor waits for it until the end of the batch: links swap messages, and a
    device would wait for seconds before it sends again what is here already."""
    reached = dict(known)
    fresh: list[Checked] = []
    touched: dict[marks.Place, int] = {}
    early: dict[marks.Place, list[tuple[int, int, Checked]]] = {}  # heaps by number, then by arrival
    for at, one in enumerate(checked):
        message = one.parsed.message
        place = (one.device, message.session)
        waiting = early.get(place)
        mark = touched[place] = reached.setdefault(place, 0)
        if message.seq <= mark:
            outcomes[message.suffix.value, "duplicate"] += 1
        elif message.prev > mark:  # go-back-N: something is missing before it
            heapq.heappush(early.setdefault(place, []), (message.seq, at, one))
        else:
            fresh.append(one)
            mark = message.seq
            if waiting:
                mark = _followed(waiting, mark, fresh, outcomes)
            reached[place] = touched[place] = mark
    for heap in early.values():
        outcomes.update((one.parsed.message.suffix.value, "gap") for _, _, one in heap)
    return fresh, touched


def _followed(
    waiting: list[tuple[int, int, Checked]], mark: int, fresh: list[Checked], outcomes: Outcomes
) -> int:
    """The mark after those of `waiting` of which the predecessor is there now."""
    while waiting:
        message = waiting[0][2].parsed.message
        if message.prev > mark:
            break
        one = heapq.heappop(waiting)[2]
        if message.seq <= mark:
            outcomes[message.suffix.value, "duplicate"] += 1
        else:
            fresh.append(one)
            mark = message.seq
    return mark
