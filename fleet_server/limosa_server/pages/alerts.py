"""Alerts: what fires, worst first; what keeps quiet and until when; who is told, and whether they heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Query, Request, Response
from sqlmodel import col, select

from limosa_contracts.json_value import JsonObject
from limosa_server.alerts import alert_rows
from limosa_server.api import alerts as alerts_api
from limosa_server.api.state import State
from limosa_server.api.webhooks import webhook_json
from limosa_server.core.alerts.rules import Severity
from limosa_server.pages.guard import OperatorForm, SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page
from limosa_server.store import Transaction
from limosa_server.tables.alerts import AlertRow, SilenceRow, WebhookRow

router = page_router()
HOURS: Final = ("1h", "4h", "24h", "7d")
"""How long the page offers to be quiet; the command line takes any length."""


@router.get("/alerts")
def list_alerts(
    request: Request, state: State, who: SignedIn, before: Annotated[int, Query(ge=0, lt=2**31)] = 0
) -> Response:
    with state.store.read() as tx:
        current = tx.exec(
            select(AlertRow).where(col(AlertRow.state).in_(alert_rows.OPEN)).limit(LIMITS.rows_max)
        ).all()
        silences = tx.exec(
            select(SilenceRow).where(SilenceRow.until > state.clock()).order_by(col(SilenceRow.until))
        ).all()
        hooks = tx.exec(select(WebhookRow).order_by(col(WebhookRow.name))).all()
        over = _resolved(tx, before)
        return page(
            request,
            "alerts.html",
            api="/api/v1/alerts",
            firing=_worst_first([row for row in current if row.state == "firing" and row.silence is None]),
            quiet=_worst_first([row for row in current if row.state == "firing" and row.silence is not None]),
            pending=_worst_first([row for row in current if row.state == "pending"]),
            over=over[: LIMITS.rows_max],
            more=over[LIMITS.rows_max - 1].id if len(over) > LIMITS.rows_max else None,
            silences=silences,
            matcher_of=matcher_of,
            webhooks=[webhook_json(tx, state, row) for row in hooks],
            hours=HOURS,
        )


@router.post("/alerts/silences")
def silence(state: State, who: SignedIn, fields: OperatorForm) -> Response:
    body: JsonObject = {name: fields.get(name, "") for name in ("matcher", "reason", "for")}
    alerts_api.silence(body, state, who.caller)
    return _back()


@router.post("/alerts/silences/{silence_id}/end")
def end_silence(state: State, who: SignedIn, fields: OperatorForm, silence_id: int) -> Response:
    alerts_api.unsilence(silence_id, state, who.caller)
    return _back()


def matcher_of(row: AlertRow) -> str:
    """A selector for just this cause, as far as labels can say it."""
    named = [f"{key}={value}" for key, value in sorted(row.labels.items()) if _speakable(str(value))]
    return ",".join([f"rule={row.rule}", *named])


def _speakable(value: str) -> bool:
    return value.replace("-", "").replace(".", "").replace("_", "").isalnum() and len(value) <= 64


def _worst_first(rows: Sequence[AlertRow]) -> list[AlertRow]:
    return sorted(rows, key=lambda row: (-Severity(row.severity).rank, -row.since, row.id or 0))


def _resolved(tx: Transaction, before: int) -> Sequence[AlertRow]:
    query = select(AlertRow).where(AlertRow.state == "resolved").order_by(col(AlertRow.id).desc())
    if before:
        query = query.where(col(AlertRow.id) < before)
    return tx.exec(query.limit(LIMITS.rows_max + 1)).all()


def _back() -> Response:
    return Response(status_code=303, headers={"Location": "/alerts"})
