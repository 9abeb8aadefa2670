"""Messages that go out after the commit that decided them (server 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_server.store.bulk import Insert
from limosa_server.store.rounds import in_rounds
from limosa_server.store.table_of import table_of
from limosa_server.store.transaction import Transaction
from limosa_server.tables.reports import OutboxRow

ANNOUNCED = "outbox"
_COLUMNS: Final = ("topic", "payload", "retain", "expiry_s", "created_at", "answer_to", "correlation")
_TABLE: Final = table_of(OutboxRow)


def publish(
    tx: Transaction,
    *,
    at: float,
    topic: str,
    payload: bytes,
    retain: bool = False,
    expiry_s: int | None = None,
    answer_to: str = "",
    correlation: str = "",
) -> None:
    """Will be published, in order, at least once, when the transaction has committed.

    A retained message replaces those of its topic that still wait: only the last one counts. An empty
    one takes away what the broker retains. `answer_to` and `correlation` go along as MQTT 5 has them.
    """
    if retain:
        tx.execute(delete(OutboxRow).where(col(OutboxRow.topic) == topic, col(OutboxRow.retain).is_(True)))
    tx.add(
        OutboxRow(
            topic=topic,
            payload=payload,
            retain=retain,
            expiry_s=expiry_s,
            created_at=at,
            answer_to=answer_to,
            correlation=correlation,
        )
    )
    tx.announce(ANNOUNCED)


def publish_retained(tx: Transaction, messages: Sequence[tuple[str, bytes]], *, at: float) -> None:
    """(topic, payload) of many retained messages, each of another topic; as `publish` does it."""
    if not messages:
        return
    for topics in in_rounds([topic for topic, _ in messages]):
        tx.execute(delete(OutboxRow).where(col(OutboxRow.topic).in_(topics), col(OutboxRow.retain).is_(True)))
    tx.flush()  # what was added before goes out before
    Insert.of(tx, OutboxRow, _COLUMNS).put(
        tx, [(topic, payload, True, None, at, "", "") for topic, payload in messages]
    )
    tx.announce(ANNOUNCED)


def waiting(tx: Transaction, *, after: int, limit: int) -> Sequence[Any]:
    """The oldest messages with an id above `after`: tuples with the names of OutboxRow's fields."""
    tx.flush()  # what this transaction added waits too
    rows = select_columns(*_TABLE.columns).where(_TABLE.c.id > after).order_by(_TABLE.c.id).limit(limit)
    return tx.connection().execute(rows).all()


def delivered(tx: Transaction, ids: list[int]) -> None:
    """The broker has these."""
    tx.execute(delete(OutboxRow).where(col(OutboxRow.id).in_(ids)))
