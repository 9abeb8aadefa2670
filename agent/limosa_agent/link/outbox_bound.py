"""How the outbox stays within its bytes however long the device is offline (agent 6.2, telemetry 3.3).

Windows are merged, never dropped. Alarms that say the same are folded into one that counts them.
Steps on the way of an attempt go when there are too many; its verdict never does. Only rows that
have not left: the server holds windows per key, and counts an event once, by its key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from limosa_agent.telemetry.window_merge import merge_windows
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import UpdateEvent
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window

ALIKE_MAX: Final = 10  # alarms of one kind that wait one by one; the next is counted in the last of them


def window_key(window: Window) -> str:
    return f"{window.boot}:{window.index}:{window.baseline}:{window.model_digest}"


def merge_oldest(connection: sqlite3.Connection, *, sent_mark: int) -> bool:
    """Whether two windows became one."""
    waiting: dict[tuple[str, str, str, bool], list[tuple[int, Window]]] = {}
    for seq, payload in connection.execute(
        "SELECT seq, payload FROM outbox WHERE suffix = ? AND fresh = 1 AND seq > ? ORDER BY seq",
        (Suffix.WINDOW.value, sent_mark),
    ):
        window = Window.parse(payload)
        alike = (window.model, window.model_digest, window.baseline, window.of_challenger)
        kind = waiting.setdefault(alike, [])
        kind.append((seq, window))
        if len(kind) == 3:  # the newest of a kind may still grow; those before it are closed
            _replace_two(connection, *kind[:2])
            return True
    return False


def fold_alarm(connection: sqlite3.Connection, alarm: UpdateEvent, *, sent_mark: int) -> bool:
    """Whether `alarm` was counted in one that waits: its evidence, `repeated` times since `since`."""
    alike = [
        (seq, event)
        for seq, event in _events(connection, sent_mark=sent_mark)
        if event.kind == "alarm" and _kind(event) == _kind(alarm)
    ]
    if len(alike) < ALIKE_MAX:
        return False
    seq, last = alike[-1]
    before = last.reason.evidence.get("repeated")
    since = last.reason.evidence.get("since")
    counted = replace(
        alarm,
        key=last.key,
        reason=replace(
            alarm.reason,
            evidence={
                **alarm.reason.evidence,
                "repeated": (before if isinstance(before, int) else 1) + 1,
                "since": since if isinstance(since, (int, float)) else last.at,
            },
        ),
    )
    connection.execute("UPDATE outbox SET payload = ? WHERE seq = ?", (counted.encode(), seq))
    return True


def drop_steps(connection: sqlite3.Connection, *, sent_mark: int) -> int:
    """How many steps of attempts went. The verdicts stay, and the last step of an attempt without one."""
    last: dict[tuple[str, str, int], int] = {}
    steps: list[tuple[int, tuple[str, str, int]]] = []
    for seq, event in _events(connection, sent_mark=sent_mark):
        if event.kind == "update":
            attempt = (event.model, event.rollout, event.attempt)
            last[attempt] = seq
            if not event.phase.terminal:
                steps.append((seq, attempt))
    gone = [(seq,) for seq, attempt in steps if last[attempt] != seq]
    connection.executemany("DELETE FROM outbox WHERE seq = ?", gone)
    return len(gone)


def count_verdicts(connection: sqlite3.Connection) -> int:
    """Verdicts of attempts that wait, sent or not."""
    found = _events(connection, sent_mark=0)
    return sum(event.kind == "update" and event.phase.terminal for _, event in found)


def _events(connection: sqlite3.Connection, *, sent_mark: int) -> Iterator[tuple[int, UpdateEvent]]:
    for seq, payload in connection.execute(
        "SELECT seq, payload FROM outbox WHERE suffix = ? AND seq > ? ORDER BY seq",
        (Suffix.EVENT.value, sent_mark),
    ).fetchall():
        try:
            yield seq, UpdateEvent.parse(payload)
        except LimosaError:
            continue  # another version of the agent wrote it: it goes out as it is


def _kind(alarm: UpdateEvent) -> tuple[str, str, str]:
    return (alarm.reason.code, alarm.model, alarm.manifest_sha256)


def _replace_two(
    connection: sqlite3.Connection, first: tuple[int, Window], second: tuple[int, Window]
) -> None:
    merged = merge_windows(first[1], second[1])
    connection.execute("DELETE FROM outbox WHERE seq = ?", (first[0],))
    connection.execute(
        "UPDATE outbox SET key = ?, payload = ?, rev = ? WHERE seq = ?",
        (window_key(merged), merged.encode(), merged.rev, second[0]),
    )
