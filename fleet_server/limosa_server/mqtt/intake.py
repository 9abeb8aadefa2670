"""What comes over the bus, into the database: one batch is checked while the one before is committed.

The order of a device's messages holds: one thread reads and checks, one commits, a short queue between.

Whatever becomes of a batch, its messages get their PUBACK: the broker's flow must go on (server 3.3). What
could not be stored is not lost: a report is acknowledged to its device after its commit only, so it comes
again; presence and answers to commands are kept here until they are stored (`owed.py`).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

from limosa_contracts.errors import LimosaError
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, Topic, device_topic
from limosa_server.fleet.presence import later
from limosa_server.mqtt.bus import Bus, Received
from limosa_server.mqtt.owed import Owed
from limosa_server.reports.ingest import Incoming, Ingest
from limosa_server.reports.report_parsing import Checked
from limosa_server.state import ServerState

log = logging.getLogger(__name__)
IDLE_S: Final = 0.2  # how long a stop may go unnoticed
AHEAD_MAX: Final = 2  # batches that are checked and wait for their commit
TOPICS_KEPT: Final = 20_000
WAIT_S: Final = 1.0  # after a batch that could not be stored: the database may be down


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one read of the bus gave, by kind. `checked`: those reports that their devices signed."""

    received: Sequence[Received]
    reports: list[Incoming] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    answers: list[tuple[str, bytes]] = field(default_factory=list)


class Intake:
    """Two threads between bus and database."""

    def __init__(self, state: ServerState, bus: Bus) -> None:
        self._state = state
        self._bus = bus
        self._ingest = Ingest(state, workers=state.settings.limits.ingest_workers_max)
        self._ahead: queue.Queue[_Batch] = queue.Queue(AHEAD_MAX)
        self._owed = Owed(state)  # of the thread that commits
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._read_all, name="ingest-check", daemon=True),
            threading.Thread(target=self._commit_all, name="ingest-commit", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What was read and not worked off has no PUBACK, and comes again."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        self._ingest.stop()

    def _read_all(self) -> None:
        limits = self._state.settings.limits
        while not self._stopping.is_set():
            received = self._bus.take(
                most=limits.ingest_batch_max, wait_s=IDLE_S, fill_s=limits.ingest_batch_wait_s
            )
            if not received:
                continue
            batch = _Batch(received=received)
            try:
                self._sort(received, into=batch)
                if batch.reports:
                    batch.checked.extend(self._ingest.check(batch.reports))
            except Exception:  # recorded; no device is told that its reports are kept: it sends them again
                log.exception("a batch of %d messages could not be checked", _count(received))
                self._stopping.wait(WAIT_S)
            self._hand_over(batch)

    def _hand_over(self, batch: _Batch) -> None:
        while not self._stopping.is_set():
            try:
                self._ahead.put(batch, timeout=IDLE_S)
            except queue.Full:
                continue
            return

    def _commit_all(self) -> None:
        while not self._stopping.is_set():
            batch = self._next()
            stored = True
            if batch is not None:
                self._owed.add(batch.statuses, batch.answers)
                failure = f"reports of {_count(batch.received)} messages could not be stored"
                stored = self._attempt(partial(self._commit, batch.checked), failure)
            if stored:  # else the database would be waited for twice
                self._attempt(self._owed.store, "presence and answers could not be stored yet")
            if batch is not None:
                told = partial(self._bus.acknowledge, batch.received)
                self._attempt(told, "the broker could not be told what was worked off")

    def _next(self) -> _Batch | None:
        """None: nothing came, or nothing more can be kept until what is owed is stored."""
        if self._owed.full:
            return None
        try:
            return self._ahead.get(timeout=IDLE_S)
        except queue.Empty:
            return None

    def _attempt(self, work: Callable[[], None], failure: str) -> bool:
        """Whether it was done. If not, a stop is all that is noticed for a while."""
        try:
            work()
        except Exception:  # recorded; reports come again, the rest is tried again
            log.exception(failure)
            self._stopping.wait(WAIT_S)
            return False
        return True

    def _sort(self, received: Sequence[Received], *, into: _Batch) -> None:
        for one in (packet for read in received for packet in read.packets):
            try:
                topic = _topic(one.topic)
                if topic.suffix is Suffix.STATUS and not one.payload:
                    continue  # the server itself took away what the broker retained of that device
                if topic.suffix is Suffix.STATUS:
                    later(into.statuses, topic.device, Status.parse(one.payload))
                elif topic.suffix is Suffix.ANSWER:
                    into.answers.append((topic.device, one.payload))
                else:
                    message = ReportMessage.from_mqtt(
                        suffix=topic.suffix, properties=list(one.properties), payload=one.payload
                    )
                    into.reports.append(Incoming(device=topic.device, message=message))
            except LimosaError as error:
                # Without its properties a message has no number that could be acknowledged.
                log.warning("a message on %s is not one of ours: %s", one.topic, error)
                self._state.metrics.reports.labels(kind="unknown", result="refused").inc()

    def _commit(self, checked: Sequence[Checked]) -> None:
        # QoS 0: a device that has not heard it sends again, and is told again.
        self._bus.send(
            [
                (device_topic(done.device, Suffix.ACK), done.ack.encode())
                for done in self._ingest.commit(checked)
            ],
            expiry_s=self._state.settings.limits.ack_expiry_s,
        )


@lru_cache(maxsize=TOPICS_KEPT)
def _topic(text: str) -> Topic:
    """Raises InvalidField."""
    return Topic.parse(text)


def _count(received: Sequence[Received]) -> int:
    return sum(len(one.packets) for one in received)
