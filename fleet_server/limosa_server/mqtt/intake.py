"""What comes over the bus, into the database: one batch is checked while the one before is committed.

The order of a device's messages holds: one thread reads and checks, one commits, a short queue between.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from limosa_contracts.errors import LimosaError
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, Topic, device_topic
from limosa_server.fleet import device_commands
from limosa_server.fleet.presence import later
from limosa_server.mqtt.bus import Bus, Received
from limosa_server.reports import report_rows
from limosa_server.reports.ingest import Checked, Incoming, Ingest
from limosa_server.state import ServerState

log = logging.getLogger(__name__)
IDLE_S: Final = 0.2  # how long a stop may go unnoticed
AHEAD_MAX: Final = 2  # batches that are checked and wait for their commit
TOPICS_KEPT: Final = 20_000
WAIT_S: Final = 1.0  # after a batch that could not be stored: the database may be down


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one read of the bus gave, by kind."""

    received: Sequence[Received]
    reports: Sequence[Checked] = ()
    statuses: dict[str, Status] = field(default_factory=dict)
    answers: Sequence[tuple[str, bytes]] = ()


class Intake:
    """Two threads between bus and database."""

    def __init__(self, state: ServerState, bus: Bus) -> None:
        self._state = state
        self._bus = bus
        self._ingest = Ingest(state, workers=state.settings.limits.ingest_workers_max)
        self._ahead: queue.Queue[_Batch] = queue.Queue(AHEAD_MAX)
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._read_all, name="ingest-check", daemon=True),
            threading.Thread(target=self._commit_all, name="ingest-commit", daemon=True),
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What was not committed is not acknowledged, and comes again."""
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
            try:
                batch = self._checked(received)
            except Exception:  # recorded; no device is told that its reports are kept: it sends them again
                log.exception("a batch of %d messages could not be checked", _count(received))
                self._stopping.wait(WAIT_S)
                batch = _Batch(received=received)
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
            try:
                batch = self._ahead.get(timeout=IDLE_S)
            except queue.Empty:
                continue
            self._attempt(batch, self._commit, "a batch of %d messages could not be stored")
            self._attempt(batch, self._tell_broker, "the broker could not be told of %d messages")

    def _attempt(self, batch: _Batch, work: Callable[[_Batch], None], failure: str) -> None:
        """Reports that were not committed are not acknowledged to their devices, and come again. Presence
        and answers do not: the next connection, or the next question, brings them up to date."""
        try:
            work(batch)
        except Exception:  # recorded; as above
            log.exception(failure, _count(batch.received))
            self._stopping.wait(WAIT_S)

    def _checked(self, received: Sequence[Received]) -> _Batch:
        reports: list[Incoming] = []
        statuses: dict[str, Status] = {}
        answers: list[tuple[str, bytes]] = []
        for one in (packet for read in received for packet in read.packets):
            try:
                topic = _topic(one.topic)
                if topic.suffix is Suffix.STATUS and not one.payload:
                    continue  # the server itself took away what the broker retained of that device
                if topic.suffix is Suffix.STATUS:
                    later(statuses, topic.device, Status.parse(one.payload))
                elif topic.suffix is Suffix.ANSWER:
                    answers.append((topic.device, one.payload))
                else:
                    message = ReportMessage.from_mqtt(
                        suffix=topic.suffix, properties=list(one.properties), payload=one.payload
                    )
                    reports.append(Incoming(device=topic.device, message=message))
            except LimosaError as error:
                # Without its properties a message has no number that could be acknowledged.
                log.warning("a message on %s is not one of ours: %s", one.topic, error)
                self._state.metrics.reports.labels(kind="unknown", result="refused").inc()
        checked = self._ingest.check(reports) if reports else []
        return _Batch(received=received, reports=checked, statuses=statuses, answers=answers)

    def _commit(self, batch: _Batch) -> None:
        # QoS 0: a device that has not heard it sends again, and is told again.
        self._bus.send(
            [
                (device_topic(done.device, Suffix.ACK), done.ack.encode())
                for done in self._ingest.commit(batch.reports)
            ],
            expiry_s=self._state.settings.limits.ack_expiry_s,
        )
        if batch.answers:
            device_commands.take_answers(self._state.store, batch.answers, now=self._state.clock())
        if batch.statuses:
            now = self._state.clock()
            with self._state.store.transaction() as tx:
                report_rows.presences(tx, batch.statuses, now=now)

    def _tell_broker(self, batch: _Batch) -> None:
        self._bus.acknowledge(batch.received)


@lru_cache(maxsize=TOPICS_KEPT)
def _topic(text: str) -> Topic:
    """Raises InvalidField."""
    return Topic.parse(text)


def _count(received: Sequence[Received]) -> int:
    return sum(len(one.packets) for one in received)
