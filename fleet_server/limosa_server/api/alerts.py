"""`/api/v1/alerts`: what is wrong now and was, and what keeps alerts quiet (telemetry 6.3)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import Query, Request, Response
from sqlmodel import col, select

from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.selector import SELECTOR_MAX_CHARS, Selector
from limosa_server.access import audit
from limosa_server.alerts import alert_rows
from limosa_server.alerts.evaluating import ASKED
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.conditional import check_if_match
from limosa_server.api.paging import Cursor, Limit, page
from limosa_server.api.releases import number_of
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core.alerts.rules import parse_rules, rules_json
from limosa_server.tables.alerts import AlertRow, SilenceRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/alerts", tags=["alerts"])
SILENCE_MAX_S: Final = 90 * 86400.0
REASON_MAX: Final = 500
_RULES = json_schema(
    {"rule": {"type": "array", "items": {"type": "object"}}},
    required=["rule"],
    example={"rule": [{"name": "silent", "source": "device_silent", "severity": "warning", "after": "24h"}]},
)
_SILENCE = json_schema(
    {"matcher": {"type": "string"}, "reason": {"type": "string"}, "for": {"type": "string"}},
    required=["matcher", "reason", "for"],
    example={"matcher": "rule=device-silent,site=lab", "reason": "the lab moves", "for": "4h"},
)


@router.get("")
def list_alerts(
    state: State,
    caller: Viewer,
    status: Annotated[Literal["open", "firing", "pending", "resolved", "all"], Query(alias="state")] = "open",
    limit: Limit = LIMITS.page_size_max,
    cursor: Cursor = "",
) -> dict[str, JsonValue]:
    """Alerts, newest first; `open` are those that fire or are about to."""
    query = select(AlertRow).order_by(col(AlertRow.id).desc()).limit(limit + 1)
    if status == "open":
        query = query.where(col(AlertRow.state).in_(alert_rows.OPEN))
    elif status != "all":
        query = query.where(AlertRow.state == status)
    if cursor:
        query = query.where(col(AlertRow.id) < number_of(cursor))
    with state.store.read() as tx:
        rows = tx.exec(query).all()
    return page(rows, limit=limit, key=lambda row: str(row.id), shape=alert_json)


@router.get("/rules")
def rules(state: State, caller: Viewer, response: Response) -> dict[str, JsonValue]:
    """The rules in force, complete with their defaults; `revision` 0 are those that come with the server."""
    with state.store.read() as tx:
        revision, found = alert_rows.rules_in_force(tx)
    response.headers["ETag"] = f'"{revision}"'
    return {**rules_json(found), "revision": revision}


@router.put("/rules", openapi_extra=_RULES)
def set_rules(
    body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """Sets all rules; alerts of rules that are gone are resolved. `If-Match`: the revision that was read."""
    wanted = parse_rules({key: value for key, value in body.items() if key != "revision"})
    now = state.clock()
    with state.store.transaction() as tx:
        revision, before = alert_rows.rules_in_force(tx)
        check_if_match(request, f'"{revision}"')
        alert_rows.set_rules(tx, wanted, at=now, by=caller.actor)
        audit.record(
            tx, at=now, actor=caller.actor, action="alert.rules", object="alerts",
            before=rules_json(before), after=rules_json(wanted),
        )  # fmt: skip
        tx.announce(ASKED, "alerts")
    return rules(state, caller, response)


@router.get("/silences")
def list_silences(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Silences in force, those that end first first."""
    with state.store.read() as tx:
        rows = tx.exec(
            select(SilenceRow)
            .where(SilenceRow.until > state.clock())
            .order_by(col(SilenceRow.until), col(SilenceRow.id))
            .limit(LIMITS.page_size_max)
        ).all()
    return {"items": [silence_json(row) for row in rows], "next": None}


@router.post("/silences", status_code=201, openapi_extra=_SILENCE)
def silence(body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Keeps alerts quiet whose labels match. They are still shown, and say so."""
    fields = Fields(body, where="silence")
    matcher = Selector.parse(fields.text("matcher", max_chars=SELECTOR_MAX_CHARS), where="silence.matcher")
    reason = " ".join(fields.text("reason", max_chars=REASON_MAX).split())
    for_s = parse_duration(fields.text("for"), where="silence.for")
    fields.refuse_rest()
    if not 60 <= for_s <= SILENCE_MAX_S:
        raise InvalidField("a silence lasts from 1m to 90d", where="silence.for")
    if not reason:
        raise InvalidField("a reason is needed", where="silence.reason")
    now = state.clock()
    with state.store.transaction() as tx:
        row = SilenceRow(
            matcher=str(matcher), reason=reason, until=now + for_s, created_at=now, created_by=caller.actor
        )
        tx.add(row)
        tx.flush()
        audit.record(
            tx, at=now, actor=caller.actor, action="alert.silence", object=f"silence {row.id}",
            after={"matcher": row.matcher, "reason": reason, "until": row.until},
        )  # fmt: skip
        tx.announce(ASKED, "alerts")
        return silence_json(row)


@router.delete("/silences/{silence_id}")
def unsilence(silence_id: int, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Ends a silence now; what fires under it is told."""
    now = state.clock()
    with state.store.transaction() as tx:
        row = tx.get(SilenceRow, silence_id) if 0 < silence_id < 2**31 else None
        if row is None:
            raise NotFound(f"there is no silence {silence_id}", hint="limosa alert silences")
        if row.until > now:
            row.until = now
            tx.add(row)
            audit.record(
                tx, at=now, actor=caller.actor, action="alert.unsilence", object=f"silence {row.id}"
            )  # fmt: skip
            tx.announce(ASKED, "alerts")
        return silence_json(row)


@router.get("/{alert_id}")
def show(alert_id: int, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """One alert."""
    with state.store.read() as tx:
        row = tx.get(AlertRow, alert_id) if 0 < alert_id < 2**31 else None
    if row is None:
        raise NotFound(f"there is no alert {alert_id}", hint="limosa alert list")
    return alert_json(row)


def alert_json(row: AlertRow) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "rule": row.rule,
        "severity": row.severity,
        "state": row.state,
        "labels": dict(row.labels),
        "summary": row.summary,
        "detail": row.detail,
        "count": row.count,
        "more": row.capped,
        "devices": list(row.devices),
        "link": row.link,
        "since": row.since,
        "fired_at": row.fired_at,
        "resolved_at": row.resolved_at,
        "told_at": row.told_at,
        "silence": row.silence,
        "fingerprint": row.fingerprint,
    }


def silence_json(row: SilenceRow) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "matcher": row.matcher,
        "reason": row.reason,
        "until": row.until,
        "created_at": row.created_at,
        "created_by": row.created_by,
    }
