"""`/api/v1/devices/{device}/revoke | decommission | replace`: how a device leaves, or is taken over."""

from __future__ import annotations

from typing import Any, Final

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.access import two_person
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator
from limosa_server.api.bodies import RawBody, json_schema, parsed
from limosa_server.api.devices import DeviceId, device_shape, find_device
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.assembly import make_director
from limosa_server.fleet import leaving
from limosa_server.state import ServerState

router = Router(route_class=AnswerRoute, prefix="/api/v1/devices", tags=["devices"])
REASON_MAX_CHARS: Final = 500
REPLACE_MAX_S: Final = 90 * 86400.0
_REASON: Final[dict[str, Any]] = {"reason": {"type": "string", "maxLength": REASON_MAX_CHARS}}


@router.post(
    "/{device}/revoke", openapi_extra=json_schema(_REASON, required=[], example={"reason": "stolen"})
)
def revoke(device: DeviceId, body: RawBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Shuts a device out: its certificates, its tokens and its reports count no more, and it is
    disconnected. Its groups stay; a token for it lets it in again."""
    reason = reason_of(body, state)
    _check_there(state, device)
    two_person.confirm(state, caller, action="device.revoke", object=f"device {device}")
    with state.store.transaction() as tx:
        row = find_device(tx, device)
        leaving.revoke(tx, row, state.leaving_handlers, reason=reason, now=state.clock(), actor=caller.actor)
        return device_shape(tx, row, caller.scope)


@router.post(
    "/{device}/decommission",
    openapi_extra=json_schema(_REASON, required=[], example={"reason": "scrapped"}),
)
def decommission(device: DeviceId, body: RawBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Takes a device out for good: shut out, out of every group and rollout, nothing assigned, and told so.
    The record stays."""
    reason = reason_of(body, state)
    _check_there(state, device)
    two_person.confirm(state, caller, action="device.decommission", object=f"device {device}")
    with state.store.transaction() as tx:
        row = find_device(tx, device)
        now = state.clock()
        if leaving.decommission(tx, row, state.leaving_handlers, reason=reason, now=now, actor=caller.actor):
            make_director(state).farewell(tx, row, now=now)
        tx.flush()
        return device_shape(tx, row, caller.scope)


@router.post(
    "/{device}/replace",
    status_code=201,
    openapi_extra=json_schema(
        {
            "serial": {"type": "string", "maxLength": 128},
            "expires_in_s": {"type": "number", "minimum": 1, "maximum": REPLACE_MAX_S},
        },
        required=[],
        example={"serial": "10000000abcdef01"},
    ),
)
def replace(device: DeviceId, body: RawBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """A token with which new hardware becomes this device: same name, groups, labels and models. The old
    hardware is shut out when the token is used."""
    fields = Fields(_object(body, state), where="replace")
    serial = fields.optional("serial", lambda n: fields.text(n, max_chars=128, empty=True), "")
    life_s = fields.optional(
        "expires_in_s",
        lambda n: fields.number(n, low=1, high=REPLACE_MAX_S),
        state.settings.limits.enroll_token_s,
    )
    fields.refuse_rest()
    now = state.clock()
    _check_there(state, device)
    two_person.confirm(
        state, caller, action=leaving.REPLACE, object=f"device {device}",
        detail={"serial": serial, "expires_in_s": life_s},
    )  # fmt: skip
    with state.store.transaction() as tx:
        token, text = leaving.replacement(
            tx, find_device(tx, device), serial=serial, expires_at=now + life_s, now=now, actor=caller.actor
        )
    return {"device": device, "serial": serial, "expires_at": token.expires_at, "id": token.id, "token": text}


def _check_there(state: ServerState, device: str) -> None:
    """Nobody asks a second person about a device that is not there. Raises NotFound."""
    with state.store.read() as tx:
        find_device(tx, device)


def reason_of(body: bytes, state: ServerState) -> str:
    """The only field of a body that may be left out altogether. Raises InvalidField."""
    fields = Fields(_object(body, state), where="body")
    reason = fields.optional("reason", lambda n: fields.text(n, max_chars=REASON_MAX_CHARS, empty=True), "")
    fields.refuse_rest()
    return " ".join(reason.split())


def _object(body: bytes, state: ServerState) -> JsonObject:
    return parsed(body, max_bytes=state.settings.limits.body_max_bytes) if body.strip() else {}
