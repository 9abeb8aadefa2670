"""How far each device's outbox is committed: what makes a doubled message change nothing (server 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from sqlmodel import col, select

from limosa_server.store import Transaction
from limosa_server.store.among import among
from limosa_server.store.bulk import Upsert
from limosa_server.tables.reports import InboxMark

KEY: Final = ("device", "session")
COLUMNS: Final = (*KEY, "mark", "updated_at")
Place: TypeAlias = tuple[str, int]
"""(device, session of its outbox)."""


def of(tx: Transaction, devices: Collection[str]) -> dict[Place, int]:
    """The last number of each session that is committed."""
    query = select(InboxMark.device, InboxMark.session, InboxMark.mark).where(
        among(tx, col(InboxMark.device), devices)
    )
    return {(device, session): mark for device, session, mark in tx.exec(query)}


def advance(tx: Transaction, marks: Mapping[Place, int], now: float) -> None:
    """Everything up to these numbers is committed with this transaction."""
    rows = [(device, session, mark, now) for (device, session), mark in marks.items() if mark > 0]
    if rows:
        Upsert.of(tx, InboxMark, COLUMNS, key=KEY, newer="mark").put(tx, rows)
