"""Sends the outbox: over MQTT, or over HTTPS while MQTT is down; forgets what the server has (agent 6.2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from limosa_agent.link.outbox import Outbox, OutboxRow
from limosa_agent.link.send_window import SendWindow
from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.signing_keys import SigningKey

HTTPS_BATCH: Final = 50  # messages of one request
DEAF_TIMEOUTS: Final = 4  # so many without an acknowledgement, and the reports go over HTTPS


class Uplink:
    """`publish` hands one message to MQTT and says whether it was taken."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        device: str,
        key: SigningKey,
        publish: Callable[[ReportMessage], bool],
        ack_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._device = device
        self._key = key
        self._publish = publish
        self._clock = clock
        self._window = SendWindow(timeout_s=ack_timeout_s)

    @property
    def deaf(self) -> bool:
        """Whether the broker takes reports of which the server acknowledges none: its own link to the
        broker may be down, or the broker lies."""
        return self._window.unheard_s(now_s=self._clock()) >= DEAF_TIMEOUTS * self._window.timeout_s

    @property
    def key(self) -> SigningKey:
        """What this device signs with now."""
        return self._key

    def adopt(self, key: SigningKey) -> None:
        """Signs with this key from here on, also what is sent again."""
        self._key = key

    def connected(self) -> None:
        """A new connection: what the last one carried may be lost."""
        self._window.go_back(now_s=self._clock())
        self.pump()

    def pump(self) -> None:
        """Hands over as many rows as the window has room for; after a timeout all of them again."""
        if self._window.expired(now_s=self._clock()):
            self._window.go_back(now_s=self._clock())
        if not self._window.room:
            return
        for row in self._outbox.after(self._window.cursor, limit=self._window.room):
            self._outbox.mark_sent(row.seq)
            if not self._publish(self._signed(row)):
                return
            self._window.sent(row.seq, now_s=self._clock())

    def acknowledged(self, ack: Ack) -> None:
        """Cumulative; another session's number is not ours."""
        if not self._outbox.acknowledged(session=ack.session, seq=ack.seq):
            return
        waiting = self._outbox.count_between(ack.seq, self._window.cursor)
        self._window.acknowledged(ack.seq, still_waiting=waiting, now_s=self._clock())
        self.pump()

    def batch(self) -> list[ReportMessage]:
        """The first rows for one HTTPS request; its answer acknowledges as MQTT would."""
        rows = self._outbox.after(0, limit=HTTPS_BATCH)
        for row in rows:
            self._outbox.mark_sent(row.seq)
        return [self._signed(row) for row in rows]

    def took(self, acks: Sequence[Ack]) -> None:
        for ack in acks:
            self.acknowledged(ack)

    def _signed(self, row: OutboxRow) -> ReportMessage:
        return ReportMessage.sign(
            self._key,
            device=self._device,
            suffix=row.suffix,
            session=self._outbox.session,
            seq=row.seq,
            prev=row.prev,
            payload=row.payload,
        )
