"""What works between bus and database: the intake of reports, and the outbox going out."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Final

from limosa_contracts.topics import Suffix, device_topic
from limosa_server.mqtt import outbox
from limosa_server.mqtt.bus import BrokerAddress, Bus
from limosa_server.mqtt.intake import Intake
from limosa_server.state import ServerState

log = logging.getLogger(__name__)
OUTBOX_EVERY_S: Final = 1.0  # at least this often, whatever was announced
OUTBOX_BATCH: Final = 500


class BusWorkers:
    """Owns the bus. `start` returns at once; the bus connects, and connects again, by itself."""

    def __init__(self, state: ServerState, address: BrokerAddress) -> None:
        self._state = state
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
        self._subscribed_on = 0  # the connection that the broker took the subscriptions of
        self._down_since: float | None = state.clock()
        self._intake = Intake(state, self.bus)
        self._thread = threading.Thread(target=self._publisher, name="outbox", daemon=True)

    def start(self) -> None:
        self._state.metrics.broker_up.set_function(lambda: float(self.bus.counts().connected))
        self._state.broker = self
        self._stop_listening = self._state.store.listen(self._committed)
        self._intake.start()
        self._thread.start()
        self.bus.start()

    def stop(self) -> None:
        self._stop_listening()
        self._stopping.set()
        self._wake.set()
        self._intake.stop()
        self._thread.join(5)
        self.bus.stop()

    def down_since(self) -> float | None:
        """As BrokerLink has it, to the second."""
        return self._down_since

    def _look_at_link(self) -> None:
        counts = self.bus.counts()
        if counts.connected and self._subscribed_on == counts.connections:
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._state.clock()

    def _subscribed(self) -> None:
        self._subscribed_on = self.bus.counts().connections
        self._ready.set()
        self._wake.set()

    def _out(self, token: int) -> None:
        self._delivered.put(token)
        self._wake.set()

    def _committed(self, topics: frozenset[str]) -> None:
        if outbox.ANNOUNCED in topics:
            self._wake.set()

    def _publisher(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(OUTBOX_EVERY_S)
            self._wake.clear()
            self._look_at_link()
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
