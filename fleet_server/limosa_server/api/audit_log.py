"""`/api/v1/audit`: who did what, in order, with the hashes that chain the rows (trust 6.5)."""

from __future__ import annotations

from sqlalchemy import func
from sqlmodel import col, select

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_server.access import audit, audit_heads
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.tables.access import AuditRow
from limosa_server.tables.trust import AuditHeadRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/audit", tags=["audit"])


@router.get("")
def list_rows(
    state: State, caller: Viewer, limit: Limit = 100, cursor: Cursor = "", newest: bool = False
) -> dict[str, JsonValue]:
    """Rows, the oldest first, or with `newest` the newest."""
    seq, after = col(AuditRow.seq), _number(cursor)
    query = select(AuditRow).limit(limit + 1)
    if newest:
        query = (query.where(seq < after) if cursor else query).order_by(seq.desc())
    else:
        query = query.where(seq > after).order_by(seq)
    with state.store.read() as tx:
        rows = tx.exec(query).all()
    return page(
        rows, limit=limit, key=lambda row: str(row.seq), shape=lambda row: audit.entry_of(row).as_json()
    )


@router.get("/verify")
def verify(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Whether every row follows from those before it; if not, the first that does not."""
    with state.store.read() as tx:
        last = tx.exec(select(func.max(AuditRow.seq))).one() or 0
        broken = audit.first_break(audit.walk(tx))
    return {"rows": last, "intact": broken is None, "first_break": broken}


@router.get("/heads")
def list_heads(state: State, caller: Viewer, limit: Limit = 100, cursor: Cursor = "") -> dict[str, JsonValue]:
    """Heads as the audit key signed them, the oldest first, and the public keys to check them with."""
    with state.store.read() as tx:
        query = (
            select(AuditHeadRow)
            .where(col(AuditHeadRow.seq) > _number(cursor))
            .order_by(col(AuditHeadRow.seq))
            .limit(limit + 1)
        )
        rows = tx.exec(query).all()
        keys = audit_heads.public_keys(tx, state.trust.key("audit").public)
    found = page(rows, limit=limit, key=lambda row: str(row.seq), shape=_head)
    return {**found, "keys": [key.pem().decode() for key in keys]}


def _head(row: AuditHeadRow) -> dict[str, JsonValue]:
    return {"seq": row.seq, "hash": row.hash, "at": row.at, "head": row.envelope}


def _number(cursor: str) -> int:
    """Raises InvalidField."""
    after = decode_cursor(cursor) or "0"
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidField("not a cursor of this list", where="cursor")
    return int(after)
