"""`/api/v1/tokens`: API tokens of people and programs (trust 6.4)."""

from __future__ import annotations

from typing import Final

from sqlmodel import col, select

from limosa_contracts.errors import NotAuthorised, NotFound
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import NAME
from limosa_server.access import audit, tokens, two_person
from limosa_server.access.roles import ROLE_NAMES, Role
from limosa_server.access.scope import GROUP, TEAM, Scope
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Admin, Caller
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet import groups
from limosa_server.tables.access import ApiToken

router = Router(route_class=AnswerRoute, prefix="/api/v1/tokens", tags=["tokens"])
TEN_YEARS_S = 3650 * 86400.0
READING: Final = (Role.VIEWER, Role.PUBLISHER)
"""Roles that do nothing which may need a second person; whoever makes tokens of the others alone is two."""


@router.post(
    "",
    status_code=201,
    openapi_extra=json_schema(
        {
            "name": {"type": "string", "maxLength": 64},
            "role": {"enum": list(ROLE_NAMES)},
            "team": {"type": "string", "description": "only this team's models"},
            "group": {"type": "string", "description": "only this group's devices"},
            "expires_in_s": {"type": "number", "minimum": 1, "maximum": TEN_YEARS_S},
        },
        required=["name", "role"],
        example={"name": "ci", "role": "publisher", "team": "demo"},
    ),
)
@scoped(TEAM, GROUP)
def create(body: JsonBody, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Makes a token; it is shown in this answer and never again."""
    fields = Fields(body, where="token")
    now = state.clock()
    name = fields.text("name", pattern=NAME)
    role = Role(fields.choice("role", ROLE_NAMES))
    scope = Scope(
        team=fields.optional("team", lambda n: fields.text(n, pattern=NAME), ""),
        group=fields.optional("group", lambda n: fields.text(n, pattern=NAME), ""),
    )
    lifetime = fields.optional(
        "expires_in_s",
        lambda n: fields.number(n, low=1, high=TEN_YEARS_S),
        state.settings.limits.api_token_s,
    )
    fields.refuse_rest()
    _check_within(caller, scope)
    if role not in READING:
        two_person.confirm(
            state, caller, action="token.create", object=f"token of {name}",
            detail={
                "role": role.value, "team": scope.team, "group": scope.group, "expires_in_s": lifetime,
            },
        )  # fmt: skip
    with state.store.transaction() as tx:
        if scope.group:
            groups.get(tx, scope.group)
        drawn = tokens.create_api_token(
            tx,
            name=name,
            role=role,
            team=scope.team,
            group=scope.group,
            created_by=caller.actor,
            at=now,
            expires_at=now + lifetime,
        )
        tx.flush()
        row = tx.get_one(ApiToken, drawn.id)
        audit.record(
            tx,
            at=now,
            actor=caller.actor,
            action="token.create",
            object=f"token {drawn.id}",
            after=_shape(row),
        )
    return {**_shape(row), "token": drawn.text}


@router.get("")
@scoped(TEAM, GROUP)
def list_tokens(
    state: State, caller: Admin, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Tokens by id, without their secrets. A caller that is bound sees those that are bound likewise."""
    query = select(ApiToken).where(ApiToken.id > decode_cursor(cursor))
    if caller.team:
        query = query.where(ApiToken.team == caller.team)
    if caller.group:
        query = query.where(ApiToken.group == caller.group)
    with state.store.read() as tx:
        rows = tx.exec(query.order_by(col(ApiToken.id)).limit(limit + 1)).all()
    return page(rows, limit=limit, key=lambda row: row.id, shape=_shape)


@router.delete("/{token_id}")
@scoped(TEAM, GROUP)
def revoke(token_id: str, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Makes a token invalid at once; doing it twice changes nothing."""
    now = state.clock()
    with state.store.transaction() as tx:
        row = tx.get(ApiToken, token_id)
        if row is None or not Scope(team=row.team, group=row.group).within(caller.scope):
            raise NotFound("there is no such token", where=token_id[:64], hint="limosa token list")
        if row.revoked_at is None:
            row.revoked_at = now
            audit.record(tx, at=now, actor=caller.actor, action="token.revoke", object=f"token {token_id}")
    return _shape(row)


def _check_within(caller: Caller, scope: Scope) -> None:
    """Whoever is bound hands out nothing beyond it. Raises NotAuthorised."""
    if not scope.within(caller.scope):
        raise NotAuthorised(
            "a token gives no more than the one that makes it",
            where="token",
            why=f"yours is bound to team {caller.team or '(all)'}, group {caller.group or '(all)'}",
        )


def _shape(row: ApiToken) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "team": row.team,
        "group": row.group,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "revoked_at": row.revoked_at,
    }
