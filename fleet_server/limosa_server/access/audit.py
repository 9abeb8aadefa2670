"""The audit trail: append-only rows, each holding the hash of the one before (trust 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sqlmodel import col, select

from limosa_contracts import audit_trail
from limosa_contracts.audit_trail import GENESIS, AuditEntry
from limosa_contracts.canonical import encode_canonical, parse_json
from limosa_contracts.json_value import JsonValue
from limosa_server.store.transaction import Transaction
from limosa_server.tables.access import AuditRow

ROWS_READ: Final = 2000  # in one query of a walk over all of them


def record(
    tx: Transaction,
    *,
    at: float,
    actor: str,
    action: str,
    object: str,  # noqa: A002  # the column's name in the design
    before: JsonValue = None,
    after: JsonValue = None,
) -> AuditRow:
    """Appends one row in the caller's transaction. Never give it a secret.

    `actor`: "token <id> <name>", "device <id>" or "server"; `action`: "device.enroll";
    `object`: "device dev-17", "rollout 7".
    """
    last = tx.exec(select(AuditRow).order_by(col(AuditRow.seq).desc()).limit(1)).first()
    row = AuditRow(
        seq=(last.seq or 0) + 1 if last else 1,
        time=at,
        actor=actor,
        action=action,
        object=object,
        before=encode_canonical(before).decode(),
        after=encode_canonical(after).decode(),
        prev_hash=last.hash if last else GENESIS,
        hash="",
    )
    row.hash = hash_of(row)
    tx.add(row)
    tx.flush()
    tx.announce("audit")
    return row


def hash_of(row: AuditRow) -> str:
    """sha256 over every other column, in canonical JSON."""
    return audit_trail.chain_hash(
        seq=row.seq or 0,
        time=row.time,
        actor=row.actor,
        action=row.action,
        object=row.object,
        before=row.before,
        after=row.after,
        prev_hash=row.prev_hash,
    )


def entry_of(row: AuditRow) -> AuditEntry:
    """The row as it is exported."""
    return AuditEntry(
        seq=row.seq or 0,
        time=row.time,
        actor=row.actor,
        action=row.action,
        object=row.object,
        before=parse_json(row.before.encode(), what="audit"),
        after=parse_json(row.after.encode(), what="audit"),
        prev_hash=row.prev_hash,
        hash=row.hash,
    )


def walk(tx: Transaction) -> Iterator[AuditRow]:
    """Every row in order, a few at a time."""
    seq = 0
    while rows := tx.exec(
        select(AuditRow).where(col(AuditRow.seq) > seq).order_by(col(AuditRow.seq)).limit(ROWS_READ)
    ).all():
        yield from rows
        seq = rows[-1].seq or 0
        tx.expunge_all()


def first_break(rows: Iterable[AuditRow]) -> int | None:
    """The seq of the first row that does not follow from those before it, or None."""
    previous = GENESIS
    for expected, row in enumerate(rows, start=1):
        if row.seq != expected or row.prev_hash != previous or row.hash != hash_of(row):
            return row.seq
        previous = row.hash
    return None
