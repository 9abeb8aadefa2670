"""`/api/v1/webhooks`: who is told of alerts. Adding one makes the server speak with others: admins do."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, func
from sqlmodel import col, select

from limosa_contracts.errors import Conflict, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_contracts.selector import SELECTOR_MAX_CHARS, Selector
from limosa_server.access import audit
from limosa_server.alerts import deliveries, webhooks
from limosa_server.alerts.addresses import URL_MAX_CHARS, parse_destination, resolve
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Admin, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core.alerts.rules import Severity
from limosa_server.errors import WebhookRefused
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.alerts import DeliveryRow, WebhookRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/webhooks", tags=["alerts"])
WEBHOOKS_MAX: Final = 50
SEVERITIES: Final = tuple(one.value for one in Severity)
_WEBHOOK = json_schema(
    {
        "name": {"type": "string"},
        "url": {"type": "string", "maxLength": URL_MAX_CHARS},
        "severity": {"type": "string", "enum": list(SEVERITIES)},
        "matcher": {"type": "string"},
    },
    required=["name", "url"],
    example={"name": "on-call", "url": "https://hooks.example/limosa", "severity": "warning"},
)


@router.get("")
def list_webhooks(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Webhooks by name, without their secrets; of a URL only the host is shown."""
    with state.store.read() as tx:
        rows = tx.exec(select(WebhookRow).order_by(col(WebhookRow.name)).limit(LIMITS.page_size_max)).all()
        return {"items": [webhook_json(tx, state, row) for row in rows], "next": None}


@router.post("", status_code=201, openapi_extra=_WEBHOOK)
def add(body: JsonBody, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Adds one; the secret that its messages are signed with is in this answer and never again."""
    fields = Fields(body, where="webhook")
    name = fields.text("name", pattern=NAME)
    url = fields.text("url", max_chars=URL_MAX_CHARS)
    severity = fields.optional("severity", lambda n: fields.choice(n, SEVERITIES), "info")
    text = fields.optional("matcher", lambda n: fields.text(n, max_chars=SELECTOR_MAX_CHARS, empty=True), "")
    fields.refuse_rest()
    matcher = str(Selector.parse(text, where="webhook.matcher")) if text else ""
    destination = parse_destination(url, state.settings.webhook_hosts)
    try:
        resolve(destination)  # again at each message: a name may lead elsewhere tomorrow
    except OSError as error:
        raise WebhookRefused("the host has no address", where="url", why=str(error)[:200]) from error
    now, salt = state.clock(), webhooks.new_salt()
    with state.store.transaction() as tx:
        if tx.get(WebhookRow, name) is not None:
            raise Conflict(f"there is a webhook {name} already", hint="remove it first, or take another name")
        if tx.exec(select(func.count()).select_from(WebhookRow)).one() >= WEBHOOKS_MAX:
            raise Conflict(f"there are {WEBHOOKS_MAX} webhooks already", hint="limosa alert webhooks")
        row = WebhookRow(
            name=name, url=url, severity=severity, matcher=matcher, salt=salt, created_at=now,
            created_by=caller.actor,
        )  # fmt: skip
        tx.add(row)
        audit.record(
            tx, at=now, actor=caller.actor, action="webhook.add", object=f"webhook {name}",
            after={"to": destination.shown, "severity": severity, "matcher": matcher},
        )  # fmt: skip
        tx.flush()
        shown = webhook_json(tx, state, row)
    secret = webhooks.secret_of(webhooks.server_key(state.settings.trust), name=name, salt=salt)
    return {**shown, "secret": webhooks.secret_text(secret)}


@router.delete("/{name}")
def remove(name: str, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Tells it nothing any more; what waits for it is dropped."""
    now = state.clock()
    with state.store.transaction() as tx:
        row = _find(tx, name)
        tx.execute(delete(DeliveryRow).where(col(DeliveryRow.webhook) == name))
        tx.delete(row)
        audit.record(tx, at=now, actor=caller.actor, action="webhook.remove", object=f"webhook {name}")
    return {"name": name, "removed": True}


@router.post("/{name}/test", status_code=202)
def test(name: str, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Sends it a message of the kind `test`; the list says what became of it."""
    now = state.clock()
    with state.store.transaction() as tx:
        row = _find(tx, name)
        queued = deliveries.add(tx, row, "test", alert=0, body={"from": caller.name}, now=now)
        return {"name": name, "message": queued.message}


def webhook_json(tx: Transaction, state: ServerState, row: WebhookRow) -> dict[str, JsonValue]:
    waiting = tx.exec(
        select(func.count())
        .select_from(DeliveryRow)
        .where(DeliveryRow.webhook == row.name, col(DeliveryRow.next_at).is_not(None))
    ).one()
    return {
        "name": row.name,
        "to": _shown(state, row.url),
        "severity": row.severity,
        "matcher": row.matcher,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "waiting": waiting,
        "delivered_at": row.delivered_at,
        "failed_at": row.failed_at,
        "failure": row.failure,
    }


def _shown(state: ServerState, url: str) -> str:
    try:
        return parse_destination(url, state.settings.webhook_hosts).shown
    except WebhookRefused:
        return "no longer allowed"  # its host was taken out of the settings


def _find(tx: Transaction, name: str) -> WebhookRow:
    row = tx.get(WebhookRow, name[:64])
    if row is None:
        raise NotFound(f"there is no webhook {name[:64]!r}", hint="limosa alert webhooks")
    return row
