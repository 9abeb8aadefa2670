"""How far each device's outbox is committed: what makes a doubled message change nothing (server 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from sqlmodel import col, select

from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.reports import InboxMark

Place: TypeAlias = tuple[str, int]
"""(device, session of its outbox)."""


def of(tx: Transaction, devices: Collection[str]) -> dict[Place, int]:
    """The last number of each session that is committed."""
    query = select(InboxMark.device, InboxMark.session, InboxMark.mark).where(
        col(InboxMark.device).in_(devices)
    )
    return {(device, session): mark for device, session, mark in tx.exec(query)}


def advance(tx: Transaction, marks: Mapping[Place, int], now: float) -> None:
    """Everything up to these numbers is committed with this transaction."""
    rows = [
        {"device": device, "session": session, "mark": mark, "updated_at": now}
        for (device, session), mark in marks.items()
        if mark > 0
    ]
    if rows:
        statement = insert(tx, InboxMark)
        tx.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["device", "session"],
                set_={"mark": statement.excluded.mark, "updated_at": statement.excluded.updated_at},
                where=col(InboxMark.mark) < statement.excluded.mark,
            ),
            rows,
        )
