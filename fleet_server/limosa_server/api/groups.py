"""`/api/v1/groups`: static groups, and groups by label selector."""

from __future__ import annotations

from fastapi import Request, Response
from sqlmodel import col, select

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_contracts.selector import Selector
from limosa_server.access import audit
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.conditional import check_if_match
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet import groups
from limosa_server.store import Transaction
from limosa_server.tables.groups import Group, Membership

router = Router(route_class=AnswerRoute, prefix="/api/v1/groups", tags=["groups"])
DEVICES_PER_CALL = 1000
_DEVICES = json_schema(
    {"devices": {"type": "array", "items": {"type": "string"}, "maxItems": DEVICES_PER_CALL}},
    required=["devices"],
    example={"devices": ["dev-0017"]},
)


@router.post(
    "",
    status_code=201,
    openapi_extra=json_schema(
        {
            "name": {"type": "string", "maxLength": 64},
            "selector": {"type": "string"},
            "devices": {"type": "array", "items": {"type": "string"}},
            "description": {"type": "string"},
        },
        required=["name"],
        example={"name": "canary", "selector": "site in (lab,hq),tier!=dev"},
    ),
)
def create(body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """With a selector, or static with these devices (none at first is fine)."""
    fields = Fields(body, where="group")
    now = state.clock()
    name = fields.text("name", pattern=NAME)
    selector = fields.maybe("selector", lambda n: Selector.parse(fields.text(n), where="group.selector"))
    devices = _devices_in(fields) if fields.has("devices") else ()
    description = fields.optional("description", lambda n: fields.text(n, max_chars=500, empty=True), "")
    fields.refuse_rest()
    with state.store.transaction() as tx:
        group = groups.create(
            tx, name, selector=selector, description=description, now=now, actor=caller.actor
        )
        if devices:
            groups.join(tx, name, devices, now=now)
        tx.flush()
        shape = _shape(tx, group)
        audit.record(
            tx, at=now, actor=caller.actor, action="group.create", object=f"group {name}", after=shape
        )
    return shape


@router.get("")
@scoped(TEAM, GROUP)
def list_groups(
    state: State, caller: Viewer, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Groups by name, with how many devices each has."""
    with state.store.read() as tx:
        rows = tx.exec(
            select(Group)
            .where(Group.name > decode_cursor(cursor), caller.scope.groups(Group.name))
            .order_by(col(Group.name))
            .limit(limit + 1)
        ).all()
        return page(rows, limit=limit, key=lambda row: row.name, shape=lambda row: _shape(tx, row))


@router.get("/{name}")
@scoped(TEAM, GROUP)
def show(name: str, state: State, caller: Viewer, response: Response) -> dict[str, JsonValue]:
    caller.scope.check_group(name)
    with state.store.read() as tx:
        group = groups.get(tx, name)
        response.headers["ETag"] = _etag(group)
        return _shape(tx, group)


@router.patch(
    "/{name}",
    openapi_extra=json_schema(
        {"selector": {"type": "string"}, "description": {"type": "string"}},
        required=[],
        example={"selector": "site in (lab,hq),!old"},
    ),
)
@scoped(GROUP)
def change(
    name: str, body: JsonBody, state: State, caller: Operator, request: Request
) -> dict[str, JsonValue]:
    """Another selector, whose members are found at once, or another description; what is left out stays.
    Who is bound to the group changes no selector: it says what they are bound to."""
    caller.scope.check_group(name)
    fields = Fields(body, where="group")
    selector = fields.maybe("selector", lambda n: Selector.parse(fields.text(n), where="group.selector"))
    description = fields.maybe("description", lambda n: fields.text(n, max_chars=500, empty=True))
    fields.refuse_rest()
    if selector is not None:
        caller.scope.check_group("")
    now = state.clock()
    with state.store.transaction() as tx:
        group = groups.get(tx, name)
        check_if_match(request, _etag(group))
        before = _shape(tx, group)
        groups.change(tx, group, selector=selector, description=description, now=now)
        tx.flush()
        after = _shape(tx, group)
        audit.record(
            tx, at=now, actor=caller.actor, action="group.change", object=f"group {name}",
            before=before, after=after,
        )  # fmt: skip
    return after


@router.delete("/{name}")
@scoped(GROUP)
def delete(name: str, state: State, caller: Operator, request: Request) -> dict[str, JsonValue]:
    """Takes a group away, if no rollout that has not ended is about it. Its devices stay in the fleet."""
    caller.scope.check_group(name)
    now = state.clock()
    with state.store.transaction() as tx:
        group = groups.get(tx, name)
        check_if_match(request, _etag(group))
        gone = _shape(tx, group)
        groups.remove(tx, group)
        audit.record(
            tx, at=now, actor=caller.actor, action="group.delete", object=f"group {name}", before=gone
        )
    return gone


@router.get("/{name}/devices")
@scoped(TEAM, GROUP)
def members(
    name: str, state: State, caller: Viewer, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Devices of a group, by id."""
    caller.scope.check_group(name)
    with state.store.read() as tx:
        groups.get(tx, name)
        rows = tx.exec(
            select(Membership)
            .where(Membership.group == name, Membership.device > decode_cursor(cursor))
            .order_by(col(Membership.device))
            .limit(limit + 1)
        ).all()
    return page(
        rows,
        limit=limit,
        key=lambda row: row.device,
        shape=lambda row: {"device": row.device, "since": row.since},
    )


@router.post("/{name}/devices", openapi_extra=_DEVICES)
def add(name: str, body: JsonBody, state: State, caller: Operator, request: Request) -> dict[str, JsonValue]:
    """Adds devices to a static group; those that are in it already stay."""
    devices = _devices(body)
    now = state.clock()
    with state.store.transaction() as tx:
        check_if_match(request, _etag(groups.get(tx, name)))
        new = groups.join(tx, name, devices, now=now)
        if new:
            audit.record(
                tx,
                at=now,
                actor=caller.actor,
                action="group.add",
                object=f"group {name}",
                after={"devices": list(new)},
            )
        tx.flush()
        return {**_shape(tx, groups.get(tx, name)), "added": list(new)}


@router.post("/{name}/devices/remove", openapi_extra=_DEVICES)
def remove(
    name: str, body: JsonBody, state: State, caller: Operator, request: Request
) -> dict[str, JsonValue]:
    """Takes devices out of a static group; those that are not in it change nothing."""
    devices = _devices(body)
    now = state.clock()
    with state.store.transaction() as tx:
        check_if_match(request, _etag(groups.get(tx, name)))
        gone = groups.leave(tx, name, devices)
        if gone:
            audit.record(
                tx,
                at=now,
                actor=caller.actor,
                action="group.remove",
                object=f"group {name}",
                before={"devices": list(gone)},
            )
        tx.flush()
        return {**_shape(tx, groups.get(tx, name)), "removed": list(gone)}


def _devices(body: JsonObject) -> tuple[str, ...]:
    fields = Fields(body, where="body")
    devices = _devices_in(fields)
    fields.refuse_rest()
    return devices


def _devices_in(fields: Fields) -> tuple[str, ...]:
    return fields.texts("devices", pattern=NAME, max_items=DEVICES_PER_CALL)


def _etag(group: Group) -> str:
    return f'"{group.revision}"'


def _shape(tx: Transaction, group: Group) -> dict[str, JsonValue]:
    return {
        "name": group.name,
        "selector": group.selector,
        "description": group.description,
        "devices": group.devices,
        "created_at": group.created_at,
        "created_by": group.created_by,
        "revision": group.revision,
    }
