"""`/api/v1/devices/{device}/pin` and `/api/v1/pins`: devices that no rollout touches (rollouts 6)."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query
from sqlmodel import and_, col, or_, select

from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import InvalidField, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import MODEL
from limosa_server.access import audit
from limosa_server.access.scope import GROUP, TEAM, Scope
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.devices import DeviceId, find_device
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.rollouts import pins
from limosa_server.tables.planning import PinRow
from limosa_server.tables.releases import Release

router = Router(route_class=AnswerRoute, prefix="/api/v1", tags=["devices"])
REASON_MAX_CHARS: Final = 500
Model = Annotated[str, Query(max_length=129, description="team/model; left out: every model")]
_BODY = json_schema(
    {
        "reason": {"type": "string"},
        "for": {"type": "string", "description": "how long, as 7d; left out: until it is unpinned"},
        "model": {"type": "string", "description": "team/model; left out: every model"},
    },
    required=["reason"],
    example={"reason": "customer demo on Friday", "for": "7d"},
)


@router.put("/devices/{device}/pin", openapi_extra=_BODY)
@scoped(TEAM)
def put_pin(device: DeviceId, body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Pins a device: rollouts leave it out until the pin ends. What it was offered before goes on."""
    fields = Fields(body, where="pin")
    reason = " ".join(fields.text("reason", max_chars=REASON_MAX_CHARS).split())
    model = fields.optional("model", lambda n: fields.text(n, pattern=MODEL), pins.EVERY_MODEL)
    lasts_s = fields.maybe("for", lambda n: parse_duration(fields.text(n), where="pin.for"))
    fields.refuse_rest()
    if lasts_s is not None and lasts_s <= 0:
        raise InvalidField("a pin lasts a while", where="pin.for", why="it would have ended already")
    check_model(caller.scope, model)
    now = state.clock()
    with state.store.transaction() as tx:
        find_device(tx, device)
        if model:
            pins.check_there(tx, model, caller.scope.models(Release.model))
        row = pins.pin(
            tx,
            device,
            model=model,
            reason=reason,
            until=None if lasts_s is None else now + lasts_s,
            now=now,
            by=caller.name,
        )
        shape = pin_shape(row, now=now)
        audit.record(
            tx, at=now, actor=caller.actor, action="device.pin", object=f"device {device}", after=shape
        )
        return shape


@router.delete("/devices/{device}/pin")
@scoped(TEAM)
def delete_pin(
    device: DeviceId, state: State, caller: Operator, model: Model = pins.EVERY_MODEL
) -> dict[str, JsonValue]:
    """Ends a pin. The next rollout may have the device."""
    check_model(caller.scope, model)
    now = state.clock()
    with state.store.transaction() as tx:
        find_device(tx, device)
        row = tx.get(PinRow, (device, model))
        if row is None:
            raise NotFound(
                f"device {device} is not pinned" + (f" for {model}" if model else ""),
                where="device",
                hint="limosa device pins",
            )
        shape = pin_shape(row, now=now)
        pins.unpin(tx, device, model=model)
        audit.record(
            tx, at=now, actor=caller.actor, action="device.unpin", object=f"device {device}", before=shape
        )
        return shape


@router.get("/devices/{device}/pins")
@scoped(TEAM)
def pins_of_device(device: DeviceId, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """The pins of one device; one that has ended is listed until it is taken away."""
    now = state.clock()
    with state.store.read() as tx:
        find_device(tx, device)
        rows = [row for row in pins.of_device(tx, device) if sees(caller.scope, row.model)]
        return {"items": [pin_shape(row, now=now) for row in rows]}


@router.get("/pins")
@scoped(TEAM, GROUP)
def list_pins(
    state: State,
    caller: Viewer,
    model: Annotated[str, Query(max_length=129)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> dict[str, JsonValue]:
    """Every pin, by device. `model`: those that hold for this model."""
    after, _, after_model = decode_cursor(cursor).partition("\n")
    query = select(PinRow).where(
        or_(PinRow.device > after, and_(PinRow.device == after, col(PinRow.model) > after_model)),
        caller.scope.devices(PinRow.device),
        or_(PinRow.model == pins.EVERY_MODEL, caller.scope.models(PinRow.model)),
    )
    if model:
        query = query.where(col(PinRow.model).in_((model, pins.EVERY_MODEL)))
    now = state.clock()
    with state.store.read() as tx:
        rows = tx.exec(query.order_by(col(PinRow.device), col(PinRow.model)).limit(limit + 1)).all()
    return page(
        rows,
        limit=limit,
        key=lambda row: f"{row.device}\n{row.model}",
        shape=lambda row: pin_shape(row, now=now),
    )


def check_model(scope: Scope, model: str) -> None:
    """Raises NotAuthorised: who is bound to a team holds no device back from the others."""
    scope.check_team(model.partition("/")[0])


def sees(scope: Scope, model: str) -> bool:
    return model == pins.EVERY_MODEL or scope.sees_model(model)


def pin_shape(row: PinRow, *, now: float) -> dict[str, JsonValue]:
    return {
        "device": row.device,
        "model": row.model,
        "reason": row.reason,
        "since": row.since,
        "until": row.until,
        "by": row.by,
        "ended": row.until is not None and row.until <= now,
    }
