"""Who is calling: `Authorization: Bearer` with an API token or a device's access token, or Basic with
an API token as the password (what registry clients send).

    @router.post("/api/v1/groups")
    def create(state: State, caller: Operator) -> …:      # Viewer, Publisher, Operator, Approver, Admin
        audit.record(tx, actor=caller.actor, …)
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from limosa_contracts.errors import NotAuthenticated, NotAuthorised
from limosa_server.access import tokens
from limosa_server.access.roles import GRANTS, Role
from limosa_server.access.scope import Scope
from limosa_server.api.problems import takes_basic
from limosa_server.api.scoped import check_scope
from limosa_server.api.state import State
from limosa_server.core.device_state import DeviceState
from limosa_server.state import ServerState
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.trust import farewell


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person or program with an API token. `team` and `group`: "" is not bound to one."""

    token_id: str
    name: str
    role: Role
    team: str
    group: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(team=self.team, group=self.group)

    @property
    def actor(self) -> str:
        """As audit rows name it."""
        return f"token {self.token_id} {self.name}"

    def may(self, role: Role) -> bool:
        return role in GRANTS[self.role]

    def needs_team(self, team: str) -> None:
        """Raises NotAuthorised if the token is bound to another team."""
        self.scope.check_team(team)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCaller:
    device: str
    certificate: str = ""  # fingerprint of the one that it came with

    @property
    def actor(self) -> str:
        return f"device {self.device}"


def credential(request: Request) -> str:
    """The token in the request. Raises NotAuthenticated."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    if scheme.lower() == "basic" and takes_basic(request):
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError as error:  # not base64, not ASCII, not UTF-8
            raise NotAuthenticated("the credentials are not readable") from error
    raise NotAuthenticated("this needs a token", why="the request has no Authorization header")


def caller_of(state: ServerState, text: str) -> Caller:
    """Raises NotAuthenticated."""
    now = state.clock()
    with state.store.read() as tx:
        row = tokens.find_api_token(tx, text, now=now)
    if row.last_used_at is None or now - row.last_used_at >= tokens.LAST_USE_EVERY_S:
        with state.store.transaction() as tx:
            tokens.touch(tx, row.id, now=now)
    return Caller(token_id=row.id, name=row.name, role=Role(row.role), team=row.team, group=row.group)


def device_of(state: ServerState, text: str) -> DeviceCaller:
    """Raises NotAuthenticated, DeviceRevoked."""
    claims = state.access_tokens.claims_of(text, now=state.clock())
    with state.store.read() as tx:
        row = tx.get(Device, claims.device)
        shown = tx.get(DeviceCertificate, claims.certificate)
    # A device that enrolled anew keeps its name: what its former key was given must end with that key,
    # or whoever holds it could have itself a certificate made for the same name.
    if row is None or row.state != DeviceState.ACTIVE or shown is None or shown.revoked_at is not None:
        raise farewell.refusal(state, claims.device)
    return DeviceCaller(device=claims.device, certificate=claims.certificate)


def require(role: Role) -> Callable[..., Caller]:
    """A dependency: the caller, if the token's role includes `role` and its scope the request."""

    def dependency(request: Request, state: State) -> Caller:
        caller = caller_of(state, credential(request))
        if not caller.may(role):
            raise NotAuthorised(
                f"this needs the role {role.value}", why=f"the token has the role {caller.role.value}"
            )
        check_scope(request, state, caller.scope)
        return caller

    return dependency


def require_device(request: Request, state: State) -> DeviceCaller:
    text = credential(request)
    if not text.startswith("lmd_"):
        raise NotAuthenticated("this needs a device's access token", hint="POST /api/v1/device/token")
    return device_of(state, text)


def require_reader(request: Request, state: State) -> Caller | DeviceCaller:
    """A device or anybody with an API token: for blobs."""
    text = credential(request)
    if text.startswith("lmd_"):
        return device_of(state, text)
    caller = caller_of(state, text)
    check_scope(request, state, caller.scope)
    return caller


Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Publisher = Annotated[Caller, Depends(require(Role.PUBLISHER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Approver = Annotated[Caller, Depends(require(Role.APPROVER))]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]
FromDevice = Annotated[DeviceCaller, Depends(require_device)]
Reader = Annotated[Caller | DeviceCaller, Depends(require_reader)]
