"""`/api/v1/server/…`: the epoch, what expires, which keys are in use, what waits for a second person."""

from __future__ import annotations

from sqlmodel import col, select

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_server.access import two_person
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Admin, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.retention import rounds
from limosa_server.tables.devices import Device
from limosa_server.tables.trust import TrustItem
from limosa_server.trust import epoch as epochs
from limosa_server.trust import roots
from limosa_server.trust.expiries import expiries
from limosa_server.trust.pki import fingerprint_of

router = Router(route_class=AnswerRoute, prefix="/api/v1/server", tags=["server"])


@router.get("/epoch")
def epoch(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """The director's epoch, and the highest that a device says it has obeyed."""
    found = epochs.current(state)
    return {"epoch": found.epoch, "seen": found.seen}


@router.post(
    "/epoch/bump",
    openapi_extra=json_schema(
        {"reason": {"type": "string", "maxLength": 500}}, required=[], example={"reason": "restored"}
    ),
)
def bump(body: JsonBody, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Begins a new epoch: after the database was restored from a backup, or a director was replaced."""
    fields = Fields(body, where="epoch")
    reason = fields.optional("reason", lambda n: fields.text(n, max_chars=500, empty=True), "")
    fields.refuse_rest()
    with_whom = two_person.confirm(state, caller, action="server.epoch", object="epoch")
    found = epochs.bump(state, actor=caller.actor, reason=reason, confirmed_by=with_whom)
    return {"epoch": found.epoch, "seen": found.seen}


@router.get("/expiries")
def list_expiries(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """What ends and when, the worst first; with what stops working then, and what to do."""
    now = state.clock()
    return {"items": [one.as_json(now) for one in expiries(state, now)]}


@router.get("/keys")
def list_keys(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Ids of the keys and certificates in use, and since when; former audit keys with their public half."""
    with state.store.read() as tx:
        rows = tx.exec(select(TrustItem).order_by(col(TrustItem.name))).all()
    return {
        "items": [
            {"name": row.name, "id": row.fingerprint, "since": row.since, "public": row.public_pem}
            for row in rows
        ]
    }


@router.get("/root-ca")
def root_ca(
    state: State, caller: Viewer, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """The root CAs that are trusted, the newest first; and the devices that are not known to have that one:
    `limosa keys retire root-ca` would shut them out."""
    root = roots.newest(state.authority)
    with state.store.read() as tx:
        missing = roots.count_missing(tx, root)
        rows = roots.missing(tx, root, after=decode_cursor(cursor), limit=limit + 1)
    return {
        **page(rows, limit=limit, key=lambda row: row.id, shape=_without_root),
        "missing": missing,
        "roots": [
            {"sha256": fingerprint_of(one), "expires": one.not_valid_after_utc.timestamp()}
            for one in state.authority.roots
        ],
    }


def _without_root(row: Device) -> JsonValue:
    return {
        "device": row.id,
        "root": row.root_sha256,
        "said_at": row.root_said_at,
        "online": row.online,
        "last_seen": row.last_seen,
    }


@router.get("/second-person")
def list_asks(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Actions that one person has asked for, and a second has not yet."""
    with state.store.read() as tx:
        asks = two_person.waiting(tx, now=state.clock())
    return {
        "items": [
            {
                "id": ask.id,
                "action": ask.action,
                "object": ask.object,
                "asked_by": ask.asked_name,
                "asked_at": ask.asked_at,
                "expires_at": ask.expires_at,
            }
            for ask in asks
        ],
        "actions": list(state.settings.two_person),
    }


@router.get("/retention")
def retention(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """What is kept for how many days (null: for ever), since when there is some, and what went."""
    with state.store.read() as tx:
        return {"items": list(rounds.shown(tx, state.settings.retention))}
