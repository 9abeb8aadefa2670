"""How far each device's outbox is committed: what makes a doubled message change nothing (server 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from sqlalchemy import delete
from sqlmodel import col, select

from limosa_server.store import Transaction
from limosa_server.store.among import among
from limosa_server.store.bulk import Upsert
from limosa_server.tables.reports import InboxMark

KEY: Final = ("device", "session")
SESSIONS_MAX: Final = 64  # of one device, the latest
COLUMNS: Final = (*KEY, "mark", "updated_at")
Place: TypeAlias = tuple[str, int]
"""(device, session of its outbox)."""


def of(tx: Transaction, devices: Collection[str]) -> dict[Place, int]:
    """The last number of each session that is committed."""
    query = select(InboxMark.device, InboxMark.session, InboxMark.mark).where(
        among(tx, col(InboxMark.device), devices)
    )
    return {(device, session): mark for device, session, mark in tx.exec(query)}


def advance(tx: Transaction, marks: Mapping[Place, int], now: float, *, known: Collection[Place]) -> None:
    """Everything up to these numbers is committed with this transaction. `known`: what `of` has given of
    their devices."""
    rows = [(device, session, mark, now) for (device, session), mark in marks.items() if mark > 0]
    if not rows:
        return
    Upsert.of(tx, InboxMark, COLUMNS, key=KEY, newer="mark").put(tx, rows)
    have = Counter(device for device, _ in {*known, *((device, session) for device, session, *_ in rows)})
    for device in sorted(device for device, count in have.items() if count > SESSIONS_MAX):
        _forget_oldest(tx, device)


def _forget_oldest(tx: Transaction, device: str) -> None:
    """An outbox is made once in a device's life, or when its disk was lost: who begins a new one with each
    message would have every commit read all that it has ever named."""
    latest = select(InboxMark.session).where(InboxMark.device == device)
    ends = col(InboxMark.updated_at).desc(), col(InboxMark.session).desc()
    kept = latest.order_by(*ends).limit(SESSIONS_MAX)
    tx.execute(
        delete(InboxMark).where(
            col(InboxMark.device) == device, col(InboxMark.session).not_in(tx.exec(kept).all())
        )
    )
