"""The two threads between bus and database: intake of reports, and the outbox going out."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Final

from limosa_contracts.errors import LimosaError
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, Topic, device_topic
from limosa_server.fleet import device_commands
from limosa_server.fleet.presence import later
from limosa_server.mqtt import outbox
from limosa_server.mqtt.bus import BrokerAddress, Bus, Received
from limosa_server.reports import report_rows
from limosa_server.reports.ingest import Incoming, Ingest
from limosa_server.state import ServerState

log = logging.getLogger(__name__)
IDLE_S: Final = 0.2  # how long a stop may go unnoticed
OUTBOX_EVERY_S: Final = 1.0  # at least this often, whatever was announced
OUTBOX_BATCH: Final = 500


class BusWorkers:
    """Owns the bus. `start` returns at once; the bus connects, and connects again, by itself."""

    def __init__(self, state: ServerState, address: BrokerAddress) -> None:
        self._state = state
        self._ingest = Ingest(state)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._ready = threading.Event()
        self._delivered: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.bus = Bus(
            address,
            queue_max=state.settings.limits.ingest_queue_max,
            on_ready=self._subscribed,
            on_delivered=self._out,
        )
        self._last_row = 0
        self._threads = (
            threading.Thread(target=self._intake, name="ingest", daemon=True),
            threading.Thread(target=self._publisher, name="outbox", daemon=True),
        )

    def start(self) -> None:
        self._stop_listening = self._state.store.listen(self._committed)
        for thread in self._threads:
            thread.start()
        self.bus.start()

    def stop(self) -> None:
        self._stop_listening()
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(5)
        self.bus.stop()

    def _subscribed(self) -> None:
        self._ready.set()
        self._wake.set()

    def _out(self, token: int) -> None:
        self._delivered.put(token)
        self._wake.set()

    def _committed(self, topics: frozenset[str]) -> None:
        if outbox.ANNOUNCED in topics:
            self._wake.set()

    def _intake(self) -> None:
        limits = self._state.settings.limits
        while not self._stopping.is_set():
            batch = self.bus.take(
                most=limits.ingest_batch_max, wait_s=IDLE_S, fill_s=limits.ingest_batch_wait_s
            )
            if not batch:
                continue
            try:
                self._take(batch)
            except Exception:  # recorded; nothing of it is acknowledged, so it comes again
                log.exception("a batch of %d messages could not be stored", len(batch))
                self._stopping.wait(IDLE_S)
            try:
                self.bus.acknowledge(batch)
            except Exception:  # recorded; the broker delivers it again on the next connection
                log.exception("the broker could not be told of %d messages", len(batch))

    def _take(self, batch: list[Received]) -> None:
        reports: list[Incoming] = []
        statuses: dict[str, Status] = {}
        answers: list[tuple[str, bytes]] = []
        for one in batch:
            try:
                topic = Topic.parse(one.topic)
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
        for done in self._ingest.take(reports) if reports else ():
            self.bus.publish(
                device_topic(done.device, Suffix.ACK),
                done.ack.encode(),
                retain=False,
                expiry_s=self._state.settings.limits.ack_expiry_s,
            )
        if answers:
            device_commands.take_answers(self._state.store, answers, now=self._state.clock())
        if statuses:
            now = self._state.clock()
            with self._state.store.transaction() as tx:
                for device, status in statuses.items():
                    report_rows.presence(tx, device, online=status.online, session=status.session, now=now)

    def _publisher(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(OUTBOX_EVERY_S)
            self._wake.clear()
            try:
                self._forget_delivered()
                if self._ready.is_set() and self.bus.counts().connections:
                    self._ready.clear()
                    self._republish()
                if self.bus.counts().connected:
                    self._send_waiting()
            except Exception:  # recorded; the rows stay, and are tried again
                log.exception("the outbox could not be worked off")
                self._stopping.wait(OUTBOX_EVERY_S)

    def _republish(self) -> None:
        """Everything retained, after each connection: a broker that was killed comes back without its
        session, or with one from its last save and documents older than ours (server 3.2). In this
        thread, so that no document overtakes a newer one."""
        with self._state.store.read() as tx:
            documents = list(self._state.desired.every(tx))
        for device, envelope in documents:
            self.bus.publish(device_topic(device, Suffix.DESIRED), envelope, retain=True, expiry_s=None)
        self._last_row = 0  # what was not confirmed goes out again

    def _send_waiting(self) -> None:
        while True:
            with self._state.store.read() as tx:
                rows = outbox.waiting(tx, after=self._last_row, limit=OUTBOX_BATCH)
            for row in rows:
                assert row.id is not None
                self.bus.publish(
                    row.topic,
                    row.payload,
                    retain=row.retain,
                    expiry_s=row.expiry_s,
                    token=row.id,
                    answer_to=row.answer_to,
                    correlation=row.correlation,
                )
                self._last_row = row.id
            if len(rows) < OUTBOX_BATCH:
                return

    def _forget_delivered(self) -> None:
        ids: list[int] = []
        while len(ids) < OUTBOX_BATCH:
            try:
                ids.append(self._delivered.get_nowait())
            except queue.Empty:
                break
        else:
            self._wake.set()
        if ids:
            with self._state.store.transaction() as tx:
                outbox.delivered(tx, ids)
