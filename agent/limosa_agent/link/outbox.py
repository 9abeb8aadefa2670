"""Everything upward waits here, durably, until the server says that it has it (agent 6.2).

Rows go out in order of `seq`; a row that is replaced (a window's higher rev, a newer `reported`)
leaves and comes back with a higher `seq`. `prev` is the seq of the row before that is still here, 0
for the first: what is not here any more was acknowledged, or replaced by something that is.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from limosa_agent.store.state_db import StateDb
from limosa_agent.telemetry.window_merge import merge_windows
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window

SENT_AHEAD: Final = 64  # numbers marked as sent in one commit, so that sending itself needs none


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    seq: int
    prev: int
    suffix: Suffix
    payload: bytes


class Outbox:
    """`max_bytes` bounds the payloads; events and the reported state are never dropped for it."""

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
            return
        with self._db.transaction("event") as own:
            own.execute(sql, values)

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

    def _keep_bound(self, connection: sqlite3.Connection) -> None:
        """Oldest windows are merged, two at a time, never dropped (telemetry 3.3)."""
        while self.bytes > self._max_bytes and self._merge_oldest(connection):
            pass

    def _merge_oldest(self, connection: sqlite3.Connection) -> bool:
        """Whether two windows became one. Only windows of which no rev has ever left: the server
        holds totals per window, and would count a merged one twice."""
        waiting: dict[tuple[str, str, str], list[tuple[int, Window]]] = {}
        for seq, payload in connection.execute(
            "SELECT seq, payload FROM outbox WHERE suffix = ? AND fresh = 1 AND seq > ? ORDER BY seq",
            (Suffix.WINDOW.value, self._sent_mark),
        ):
            window = Window.parse(payload)
            kind = waiting.setdefault((window.model, window.model_digest, window.baseline), [])
            kind.append((seq, window))
            if len(kind) == 3:  # the newest of a kind may still grow; those before it are closed
                _replace_two(connection, *kind[:2])
                return True
        return False


def _replace_two(
    connection: sqlite3.Connection, first: tuple[int, Window], second: tuple[int, Window]
) -> None:
    merged = merge_windows(first[1], second[1])
    connection.execute("DELETE FROM outbox WHERE seq = ?", (first[0],))
    connection.execute(
        "UPDATE outbox SET key = ?, payload = ?, rev = ? WHERE seq = ?",
        (window_key(merged), merged.encode(), merged.rev, second[0]),
    )


def window_key(window: Window) -> str:
    return f"{window.boot}:{window.index}:{window.baseline}:{window.model_digest}"


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
