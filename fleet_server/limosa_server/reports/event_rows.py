"""Events as rows, each once; what a device may have stored of its progress is bounded (rollouts 3.7)."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import literal, update
from sqlmodel import col, select

from limosa_contracts.event import UpdateEvent
from limosa_contracts.json_value import JsonValue
from limosa_server.fleet.departure import Departed, Departure
from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.reports import EventRow
from limosa_server.tables.retention import EventQuota

DAY_S: Final = 86400.0
FORMER: Final = "former:"  # of hardware that was replaced


def store(
    tx: Transaction, events: Sequence[tuple[UpdateEvent, bytes]], now: float, *, progress_per_day: int
) -> Counter[str]:
    """How many were stored, were there already, or were progress beyond a device's quota.

    A dropped one has moved its execution all the same: only its row is not kept. The end of an update
    is always stored.
    """
    if not events:
        return Counter()
    kept = _within_quota(tx, events, now, progress_per_day)
    dropped = len(events) - len(kept)
    if not kept:
        return Counter(dropped=dropped)
    rows = [_values(event, payload, now) for event, payload in kept]
    written = tx.connection().execute(insert(tx, EventRow).on_conflict_do_nothing(), rows).rowcount
    tx.announce("events")
    return Counter(stored=written, duplicate=len(rows) - written, dropped=dropped)


def on_leaving(tx: Transaction, gone: Departure) -> Mapping[str, JsonValue]:
    """New hardware under a device's name tells of the same updates under the same keys: what the old one
    said of them is kept under keys of its own, or the new one's would be taken for said already."""
    if gone.how is Departed.REPLACED:
        own = ~col(EventRow.key).startswith(FORMER)
        # Nothing that a device could have foreseen: it may send any key itself.
        kept = literal(f"{FORMER}{secrets.token_hex(8)}:") + col(EventRow.key)
        tx.execute(update(EventRow).where(col(EventRow.device) == gone.device, own).values(key=kept))
    return {}


def _within_quota(
    tx: Transaction, events: Sequence[tuple[UpdateEvent, bytes]], now: float, most: int
) -> list[tuple[UpdateEvent, bytes]]:
    day = int(now // DAY_S)
    devices = {event.device for event, _ in events if not event.phase.terminal}
    if not devices:
        return list(events)
    query = select(EventQuota.device, EventQuota.day, EventQuota.count).where(
        col(EventQuota.device).in_(devices)
    )
    today = {device: count for device, of, count in tx.exec(query) if of == day}
    counts, dropped = Counter({device: today.get(device, 0) for device in devices}), Counter[str]()
    kept: list[tuple[UpdateEvent, bytes]] = []
    for event, payload in events:
        if not event.phase.terminal:
            if counts[event.device] >= most:
                dropped[event.device] += 1
                continue
            counts[event.device] += 1
        kept.append((event, payload))
    _note(tx, day, counts, dropped)
    return kept


def _note(tx: Transaction, day: int, counts: Counter[str], dropped: Counter[str]) -> None:
    statement = insert(tx, EventQuota)
    new = statement.excluded
    tx.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["device"],
            set_={"day": new.day, "count": new["count"], "dropped": col(EventQuota.dropped) + new.dropped},
        ),
        [
            {"device": device, "day": day, "count": count, "dropped": dropped[device]}
            for device, count in counts.items()
        ],
    )


def _values(event: UpdateEvent, payload: bytes, now: float) -> dict[str, Any]:
    return {
        "device": event.device,
        "key": event.key,
        "kind": event.kind,
        "model": event.model,
        "version": event.version,
        "rollout": event.rollout,
        "attempt": event.attempt,
        "phase": event.phase.value,
        "reason_code": event.reason.code,
        "reason": event.reason.message,
        "at": event.at,
        "received_at": now,
        "body": payload.decode(),
    }
