"""The audit trail: append-only rows, each holding the hash of the one before (trust 6.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_server.store.transaction import Transaction
from limosa_server.tables.access import AuditRow

GENESIS: Final = "0" * 64


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
    columns: dict[str, JsonValue] = {
        "seq": row.seq,
        "time": row.time,
        "actor": row.actor,
        "action": row.action,
        "object": row.object,
        "before": row.before,
        "after": row.after,
        "prev_hash": row.prev_hash,
    }
    return hashlib.sha256(encode_canonical(columns)).hexdigest()


def first_break(rows: Iterable[AuditRow]) -> int | None:
    """The seq of the first row that does not follow from those before it, or None."""
    previous = GENESIS
    for expected, row in enumerate(rows, start=1):
        if row.seq != expected or row.prev_hash != previous or row.hash != hash_of(row):
            return row.seq
        previous = row.hash
    return None
