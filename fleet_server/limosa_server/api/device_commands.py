"""`/api/v1/devices/{device}/commands`: logs, status and identify, asked of a device that is connected."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from limosa_contracts.device_command import (
    LEAST_LIFE_S,
    LEVELS,
    LINES_DEFAULT,
    LINES_MAX,
    MOST_LIFE_S,
    DeviceCommand,
    Kind,
)
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import MODEL, NAME
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.devices import DeviceId, find_device
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.fleet import device_commands

router = Router(route_class=AnswerRoute, prefix="/api/v1/devices", tags=["devices"])
CommandId = Annotated[str, Path(pattern=f"^{NAME.pattern}$")]


@router.post(
    "/{device}/commands",
    status_code=201,
    openapi_extra=json_schema(
        {
            "kind": {"enum": [kind.value for kind in Kind]},
            "lines": {"type": "integer", "minimum": 1, "maximum": LINES_MAX},
            "level": {"enum": list(LEVELS)},
            "model": {"type": "string"},
            "since": {"type": "string", "maxLength": 32},
            "expires_in_s": {"type": "integer", "minimum": LEAST_LIFE_S, "maximum": MOST_LIFE_S},
        },
        required=["kind"],
        example={"kind": "logs", "lines": 200, "level": "warning"},
    ),
)
def send(device: DeviceId, body: JsonBody, state: State, caller: Operator) -> dict[str, JsonValue]:
    """Asks a connected device for its log, its status, or to make itself noticed; read the answer under
    the `id` that comes back."""
    now = state.clock()
    command = command_of(device, body, now=now, life_s=state.settings.limits.command_expiry_s)
    with state.store.transaction() as tx:
        row = device_commands.send(tx, command, key=state.trust.key("director"), now=now, actor=caller.actor)
        return device_commands.shape(row, now=now)


@router.get("/{device}/commands")
def list_commands(device: DeviceId, state: State, caller: Operator) -> dict[str, JsonValue]:
    """The last ones to a device, the newest first, without their answers."""
    now = state.clock()
    with state.store.read() as tx:
        rows = device_commands.latest(tx, find_device(tx, device).id)
    return {"items": [device_commands.shape(row, now=now, whole=False) for row in rows], "next": None}


@router.get("/{device}/commands/{command}")
def show(device: DeviceId, command: CommandId, state: State, caller: Operator) -> dict[str, JsonValue]:
    """`state`: sent, done, refused or no_answer; with the answer, which is kept for a day."""
    with state.store.read() as tx:
        return device_commands.shape(device_commands.find(tx, device, command), now=state.clock())


def command_of(device: str, body: JsonObject, *, now: float, life_s: int) -> DeviceCommand:
    """Raises InvalidField."""
    fields = Fields(body, where="command")
    kind = Kind(fields.choice("kind", tuple(one.value for one in Kind)))
    command = DeviceCommand(
        id=device_commands.new_id(),
        device=device,
        kind=kind,
        issued=now,
        expires=now
        + fields.optional(
            "expires_in_s", lambda n: fields.integer(n, low=LEAST_LIFE_S, high=MOST_LIFE_S), life_s
        ),
        lines=fields.optional("lines", lambda n: fields.integer(n, low=1, high=LINES_MAX), LINES_DEFAULT),
        level=fields.optional("level", lambda n: fields.choice(n, LEVELS), LEVELS[0]),
        model=fields.optional("model", lambda n: fields.text(n, pattern=MODEL), ""),
        since=fields.optional("since", lambda n: fields.text(n, max_chars=32), ""),
    )
    fields.refuse_rest()
    return command
