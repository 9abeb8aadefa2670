"""Everything upward waits here, durably, until the server says that it has it (agent 6.2).

Rows go out in order of `seq`; a row that is replaced (a window's higher rev, a newer `reported`)
leaves and comes back with a higher `seq`. `prev` is the seq of the row before that is still here, 0
for the first: what is not here any more was acknowledged, or replaced by something that is.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from limosa_agent.link.outbox_bound import count_verdicts, drop_steps, fold_alarm, merge_oldest, window_key
from limosa_agent.store.state_db import StateDb
from limosa_contracts.event import UpdateEvent
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window

SENT_AHEAD: Final = 64  # numbers marked as sent in one commit, so that sending itself needs none
EVENTS_SHARE: Final = 4  # events may take a quarter of the bytes; then steps of attempts go
VERDICTS_MAX: Final = 256  # that wait for the server; above, no new attempt is begun


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    seq: int
    prev: int
    suffix: Suffix
    payload: bytes


class Outbox:
    """`max_bytes` bounds the payloads. Verdicts of attempts and the reported state are never dropped for
    it: `may_begin` bounds the former."""

    def __init__(self, db: StateDb, *, max_bytes: int) -> None:
        self._db = db
        self._max_bytes = max_bytes
        self.session = db.outbox_session
        self._sent_mark = int(db.meta("sent_mark") or "0")

    def put_event(self, key: str, payload: bytes, *, connection: sqlite3.Connection | None = None) -> None:
        """Once per key while it waits; within the caller's transaction where one is given."""
        sql = "INSERT OR IGNORE INTO outbox (suffix, key, payload) VALUES (?, ?, ?)"
        values = (Suffix.EVENT.value, key, payload)
        if connection is not None:
            connection.execute(sql, values)
            self._bound_events(connection)
            return
        with self._db.transaction("event") as own:
            own.execute(sql, values)
            self._bound_events(own)

    def put_alarm(self, alarm: UpdateEvent) -> None:
        """Counted in one that waits where many of its kind do; its key names it else."""
        with self._db.transaction("alarm") as connection:
            if not fold_alarm(connection, alarm, sent_mark=self._sent_mark):
                self.put_event(alarm.key, alarm.encode(), connection=connection)

    def put_reported(self, payload: bytes) -> None:
        """Only the newest is worth sending."""
        with self._db.transaction("reported") as connection:
            connection.execute("DELETE FROM outbox WHERE suffix = ?", (Suffix.REPORTED.value,))
            connection.execute(
                "INSERT INTO outbox (suffix, key, payload) VALUES (?, '', ?)",
                (Suffix.REPORTED.value, payload),
            )

    def put_window(self, window: Window) -> None:
        """In place of an earlier rev of the same window."""
        key = window_key(window)
        with self._db.transaction("window") as connection:
            found = connection.execute(
                "SELECT seq, rev, fresh FROM outbox WHERE suffix = ? AND key = ?", (Suffix.WINDOW.value, key)
            ).fetchone()
            if found and found[1] >= window.rev:
                return
            unseen = bool(found[2]) and found[0] > self._sent_mark if found else window.rev == 1
            connection.execute("DELETE FROM outbox WHERE suffix = ? AND key = ?", (Suffix.WINDOW.value, key))
            connection.execute(
                "INSERT INTO outbox (suffix, key, payload, rev, fresh) VALUES (?, ?, ?, ?, ?)",
                (Suffix.WINDOW.value, key, window.encode(), window.rev, int(unseen)),
            )
            self._keep_bound(connection)

    def after(self, seq: int, *, limit: int) -> list[OutboxRow]:
        """The next rows after `seq`, with the `prev` each carries when it is sent now."""
        rows = self._db.query(
            "SELECT seq, suffix, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit
        )
        before = self._db.query("SELECT max(seq) FROM outbox WHERE seq <= ?", seq)[0][0]
        prev = before if isinstance(before, int) else 0
        result = []
        for number, suffix, payload in rows:
            assert isinstance(number, int)
            assert isinstance(payload, bytes)
            result.append(OutboxRow(seq=number, prev=prev, suffix=Suffix(str(suffix)), payload=payload))
            prev = number
        return result

    def mark_sent(self, seq: int) -> None:
        """Durable before the row leaves: what may have left is never merged with another."""
        if seq > self._sent_mark:
            self._sent_mark = seq + SENT_AHEAD
            self._db.set_meta("sent_mark", str(self._sent_mark))

    def acknowledged(self, *, session: int, seq: int) -> bool:
        """Forgets what the server has. False for another session's number."""
        if session != self.session:
            return False
        with self._db.transaction("ack") as connection:
            connection.execute("DELETE FROM outbox WHERE seq <= ?", (min(seq, self._sent_mark),))
        return True

    def count_between(self, low: int, high: int) -> int:
        """Rows with low < seq <= high."""
        return _number(
            self._db.query("SELECT count(*) FROM outbox WHERE seq > ? AND seq <= ?", low, high)[0][0]
        )

    @property
    def rows(self) -> int:
        return _number(self._db.query("SELECT count(*) FROM outbox")[0][0])

    @property
    def bytes(self) -> int:
        return _number(self._db.query("SELECT coalesce(sum(length(payload)), 0) FROM outbox")[0][0])

    def may_begin(self) -> bool:
        """Whether a new attempt may be begun: each adds a verdict, and those are never dropped.

        A director that was captured could begin attempts without end.
        """
        events = _number(
            self._db.query("SELECT count(*) FROM outbox WHERE suffix = ?", Suffix.EVENT.value)[0][0]
        )
        if events < VERDICTS_MAX:
            return True
        with self._db.transaction("verdicts") as connection:
            return count_verdicts(connection) < VERDICTS_MAX

    def _keep_bound(self, connection: sqlite3.Connection) -> None:
        while self.bytes > self._max_bytes and merge_oldest(connection, sent_mark=self._sent_mark):
            pass

    def _bound_events(self, connection: sqlite3.Connection) -> None:
        sql = "SELECT coalesce(sum(length(payload)), 0) FROM outbox WHERE suffix = ?"
        if _number(connection.execute(sql, (Suffix.EVENT.value,)).fetchone()[0]) > (
            self._max_bytes // EVENTS_SHARE
        ):
            drop_steps(connection, sent_mark=self._sent_mark)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
