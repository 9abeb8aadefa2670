"""`/api/v1/audit`: who did what, in order, with the hashes that chain the rows (trust 6.5)."""

from __future__ import annotations

from sqlmodel import col, select

from limosa_contracts.canonical import parse_json
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from limosa_server.access import audit
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.tables.access import AuditRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/audit", tags=["audit"])


@router.get("")
def list_rows(state: State, caller: Viewer, limit: Limit = 100, cursor: Cursor = "") -> dict[str, JsonValue]:
    """Rows, the oldest first."""
    after = decode_cursor(cursor) or "0"
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidField("not a cursor of this list", where="cursor")
    with state.store.read() as tx:
        query = (
            select(AuditRow)
            .where(col(AuditRow.seq) > int(after))
            .order_by(col(AuditRow.seq))
            .limit(limit + 1)
        )
        rows = tx.exec(query).all()
    return page(rows, limit=limit, key=lambda row: str(row.seq), shape=_shape)


@router.get("/verify")
def verify(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Whether every row follows from those before it; if not, the first that does not."""
    with state.store.read() as tx:
        rows = tx.exec(select(AuditRow).order_by(col(AuditRow.seq))).all()
    broken = audit.first_break(rows)
    return {"rows": len(rows), "intact": broken is None, "first_break": broken}


def _shape(row: AuditRow) -> dict[str, JsonValue]:
    return {
        "seq": row.seq,
        "time": row.time,
        "actor": row.actor,
        "action": row.action,
        "object": row.object,
        "before": parse_json(row.before.encode()),
        "after": parse_json(row.after.encode()),
        "prev_hash": row.prev_hash,
        "hash": row.hash,
    }
