"""`/api/v1/devices`: who is in the fleet and what they last said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Path, Query
from sqlmodel import col, select

from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_server.access import audit
from limosa_server.access.scope import GROUP, TEAM, WHOLE, Scope
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.inventory import Wanted
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet import membership
from limosa_server.fleet.device_states import ORDERS, SORTS
from limosa_server.fleet.inventory import DeviceOrder, find
from limosa_server.fleet.labels import OPERATOR, Holds, check_labels, said_by, set_labels, what_holds
from limosa_server.rollouts import pins
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.reports import EventRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/devices", tags=["devices"])
DeviceId = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]
EVENTS_SHOWN = 20


@router.get("")
@scoped(TEAM, GROUP)
def list_devices(
    state: State,
    caller: Viewer,
    wanted: Wanted,
    limit: Limit = 100,
    cursor: Cursor = "",
    sort: Annotated[str, Query(pattern=f"^({'|'.join(SORTS)})$")] = SORTS[0],
    order: Annotated[str, Query(pattern=f"^({'|'.join(ORDERS)})$")] = ORDERS[0],
) -> dict[str, JsonValue]:
    """The devices that the filter leaves, with their labels and models."""
    by = DeviceOrder(by=sort, descending=order == "desc")
    with state.store.read() as tx:
        rows = find(
            tx, wanted, order=by, cursor=decode_cursor(cursor), limit=limit + 1, now=state.clock(),
            scope=caller.scope,
        )  # fmt: skip
        shapes = shapes_of(tx, rows[:limit], caller.scope)
    return page(rows, limit=limit, key=by.place_of, shape=lambda row: shapes[row.id])


@router.get("/{device}")
@scoped(TEAM)
def show(device: DeviceId, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """One device, with its groups, its pins and its last events."""
    now = state.clock()
    with state.store.read() as tx:
        row = find_device(tx, device)
        events = tx.exec(
            select(EventRow)
            .where(EventRow.device == device, caller.scope.models(EventRow.model))
            .order_by(col(EventRow.id).desc())
            .limit(EVENTS_SHOWN)
        ).all()
        held = pins.shown(tx, device, scope=caller.scope, now=now)
        return {
            **device_shape(tx, row, caller.scope),
            "groups": list(membership.groups_of(tx, device, caller.scope)),
            "pinned": [{"model": model, "why": why} for model, why in held],
            "events": [event_shape(event) for event in events],
        }


@router.put(
    "/{device}/labels",
    openapi_extra=json_schema(
        {"labels": {"type": "object", "additionalProperties": {"type": "string"}}},
        required=["labels"],
        example={"labels": {"site": "lab"}},
    ),
)
def put_labels(device: DeviceId, body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """The operator's labels of a device, all of them; its own and its token's stay beside them."""
    labels = Fields(body, where="device").text_map("labels", max_items=LIMITS.labels_max)
    check_labels(labels)
    with state.store.transaction() as tx:
        return _label(tx, state, caller, device, labels, state.clock())


@router.patch(
    "/{device}/labels",
    openapi_extra=json_schema(
        {"labels": {"type": "object", "additionalProperties": {"type": ["string", "null"]}}},
        required=["labels"],
        example={"labels": {"site": "lab", "old": None}},
    ),
)
def patch_labels(device: DeviceId, body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Some of the operator's labels of a device; null takes one away, and what others say holds again."""
    given = Fields(body, where="device").object("labels")
    new = {key: value for key, value in given.items() if isinstance(value, str)}
    if wrong := [key for key, value in given.items() if value is not None and key not in new]:
        raise InvalidField(f"the label {wrong[0][:80]!r} is no text", where="device.labels")
    check_labels(new)
    now = state.clock()
    with state.store.transaction() as tx:
        kept = said_by(tx, find_device(tx, device).id, OPERATOR)
        labels = {**{key: value for key, value in kept.items() if key not in given}, **new}
        if len(labels) > LIMITS.labels_max:
            raise InvalidField(
                f"{len(labels)} labels", where="device.labels", why=f"at most {LIMITS.labels_max}"
            )
        return _label(tx, state, caller, device, labels, now)


def _label(
    tx: Transaction, state: ServerState, caller: Caller, device: str, labels: Mapping[str, str], now: float
) -> dict[str, JsonValue]:
    row = find_device(tx, device)
    before = _labels(tx, device)
    if set_labels(tx, device, labels, source=OPERATOR):
        for handler in state.device_handlers:
            handler(tx, [device], "", now)
        audit.record(
            tx, at=now, actor=caller.actor, action="device.label", object=f"device {device}",
            before=before, after=_labels(tx, device),
        )  # fmt: skip
        tx.announce("devices", f"device {device}")
    return device_shape(tx, row, caller.scope)


def find_device(tx: Transaction, device: str) -> Device:
    """Raises NotFound."""
    row = tx.get(Device, device)
    if row is None:
        raise NotFound(f"there is no device {device[:64]!r}", where="device", hint="limosa device list")
    return row


def device_shape(tx: Transaction, row: Device, scope: Scope = WHOLE) -> dict[str, JsonValue]:
    """`scope`: of other teams' models nothing is said."""
    return shapes_of(tx, [row], scope)[row.id]


def shapes_of(
    tx: Transaction, rows: Sequence[Device], scope: Scope = WHOLE
) -> dict[str, dict[str, JsonValue]]:
    """The same for as many as one page shows, in as many statements."""
    names = [row.id for row in rows]
    models: dict[str, list[JsonValue]] = {name: [] for name in names}
    for model in tx.exec(
        select(DeviceModel)
        .where(col(DeviceModel.device).in_(names), scope.models(DeviceModel.model))
        .order_by(col(DeviceModel.model))
    ):
        models[model.device].append(_model_shape(model))
    labels = what_holds(tx, names)
    return {row.id: _shape(row, labels[row.id], models[row.id]) for row in rows}


def _shape(row: Device, labels: Holds, models: list[JsonValue]) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "serial": row.serial,
        "state": row.state,
        "online": row.online,
        "last_seen": row.last_seen,
        "reported_at": row.reported_at,
        "enrolled_at": row.enrolled_at,
        "ended_at": row.ended_at,
        "ended_reason": row.ended_reason,
        "agent": row.agent,
        "profile": row.profile,
        "clock": row.clock,
        "labels": {key: value for key, (value, _) in labels.items()},
        "label_sources": {key: source for key, (_, source) in labels.items()},
        "desired": {"epoch": row.desired_epoch, "counter": row.desired_counter},
        "capabilities": dict(row.capabilities),
        "resources": dict(row.resources),
        "models": models,
    }


def event_shape(row: EventRow) -> dict[str, JsonValue]:
    return {
        "device": row.device,
        "key": row.key,
        "kind": row.kind,
        "model": row.model,
        "version": row.version,
        "rollout": row.rollout,
        "attempt": row.attempt,
        "phase": row.phase,
        "reason_code": row.reason_code,
        "reason": row.reason,
        "at": row.at,
        "received_at": row.received_at,
    }


def _model_shape(row: DeviceModel) -> dict[str, JsonValue]:
    return {
        "model": row.model,
        "phase": row.phase,
        "active": row.active_version,
        "active_index": row.active_index,
        "variant": row.active_variant,
        "previous": row.previous_version,
        "candidate": row.candidate_version,
        "rollout": row.rollout,
        "attempt": row.attempt,
        "reason": row.reason,
        "quarantined": list(row.quarantined),
        "updated_at": row.updated_at,
    }


def _labels(tx: Transaction, device: str) -> dict[str, JsonValue]:
    return {key: value for key, (value, _) in what_holds(tx, [device])[device].items()}
