"""What an operator asks of one device, and does to it, as plain forms over the code behind the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.device_command import Kind
from limosa_contracts.errors import InvalidField, NotAuthorised, NotFound
from limosa_contracts.json_value import JsonObject
from limosa_server.api import device_commands as api
from limosa_server.api import device_leaving
from limosa_server.api.device_commands import command_of
from limosa_server.api.state import State
from limosa_server.fleet import device_commands
from limosa_server.pages.guard import OperatorForm, SignedIn, Visitor, page_router
from limosa_server.pages.render import page, path_part

router = page_router()
REASON_MAX_CHARS: Final = 500
LEAVE: Final[Mapping[str, Callable[..., Any]]] = {
    "revoke": device_leaving.revoke,
    "decommission": device_leaving.decommission,
}
LOOK_AGAIN_S: Final = 2


@router.post("/devices/{device}/commands")
def ask(state: State, who: SignedIn, fields: OperatorForm, device: str) -> Response:
    """To the page that waits for the answer."""
    now = state.clock()
    body: JsonObject = {"kind": fields.get("kind", "")}
    command = command_of(device, body, now=now, life_s=state.settings.limits.command_expiry_s)
    with state.store.transaction() as tx:
        device_commands.send(tx, command, key=state.trust.key("director"), now=now, actor=who.caller.actor)
    return _to(f"/devices/{path_part(device)}/commands/{command.id}")


@router.get("/devices/{device}/commands/{command}")
def answer(request: Request, state: State, who: SignedIn, device: str, command: str) -> Response:
    """It loads itself again until there is an answer, or none will come. Raises NotAuthorised."""
    said_to(who)
    now = state.clock()
    with state.store.read() as tx:
        said = device_commands.shape(device_commands.find(tx, device, command), now=now)
    shown: Any = said["answer"]
    response = page(
        request,
        "command.html",
        api=f"/api/v1/devices/{path_part(device)}/commands/{path_part(command)}",
        said=said,
        lines=shown.get("lines", []) if said["kind"] == Kind.LOGS.value else [],
        facts=sorted(shown.items()) if said["kind"] != Kind.LOGS.value else [],
        as_text=lambda value: json.dumps(value, ensure_ascii=False, indent=1),
    )
    if said["state"] == "sent":
        response.headers["Refresh"] = str(LOOK_AGAIN_S)
    return response


@router.post("/devices/{device}/{action}")
def act(state: State, who: SignedIn, fields: OperatorForm, device: str, action: str) -> Response:
    """Revokes or decommissions, if the device's name was typed to confirm it."""
    if action not in LEAVE:
        raise NotFound("there is no such action", where=action[:40])
    if fields.get("confirm", "") != device:
        raise InvalidField("the name that was typed is another one", where="confirm", hint=f"type {device}")
    reason = " ".join(fields.get("reason", "").split())[:REASON_MAX_CHARS]
    LEAVE[action](device, encode_canonical({"reason": reason}), state, who.caller)
    return _to(f"/devices/{path_part(device)}")


@router.get("/json/devices/{device}/commands/{command}")
def answer_as_json(state: State, who: SignedIn, device: str, command: str) -> Response:
    """Raises NotAuthorised."""
    said_to(who)
    return JSONResponse(api.show(device, command, state, who.caller))


def said_to(who: Visitor) -> None:
    """What a device answers is for operators. Raises NotAuthorised."""
    if not who.operates:
        raise NotAuthorised("this needs the role operator", why=f"you have the role {who.caller.role.value}")


def _to(address: str) -> Response:
    return Response(status_code=303, headers={"Location": address})
