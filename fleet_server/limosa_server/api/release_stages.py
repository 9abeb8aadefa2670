"""`/api/v1/releases/…/promote|archive|restore|retract`, gates, and collecting what nothing needs."""

from __future__ import annotations

from typing import Final

from limosa_contracts.errors import InvalidField, NotAuthorised
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import MODEL, NAME, ModelName, ReleaseName, check_version
from limosa_server.access import two_person
from limosa_server.access.roles import Role
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Admin, Caller, Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.releases import release_json
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.lifecycle.gates import DEFAULT, parse_rules, rules_json
from limosa_server.core.lifecycle.stages import Stage
from limosa_server.registry import collecting, promotion, running
from limosa_server.rollouts import retracting
from limosa_server.state import ServerState

router = Router(route_class=AnswerRoute, prefix="/api/v1/releases", tags=["releases"])
REASON_MAX: Final = 500
_REASON = {"type": "string", "minLength": 1, "maxLength": REASON_MAX}
_STEP = json_schema({"reason": _REASON}, required=["reason"], example={"reason": "checked on site 3"})
_PROMOTE = json_schema({"reason": _REASON, "override": {"type": "boolean"}}, required=["reason"])
_RETRACT = json_schema({"reason": _REASON, "rollback": {"type": "boolean"}}, required=["reason"])
_GATE = json_schema(
    {"scope": {"type": "string"}, "rules": {"type": ["array", "null"], "items": {"type": "object"}}},
    required=["scope", "rules"],
    example={"scope": "vision", "rules": [{"rule": "devices", "devices": 20, "for": "48h"}]},
)


@router.get("/running")
@scoped(TEAM)
def who_runs_what(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Active devices by the release that they report running, from kept counters."""
    with state.store.read() as tx:
        found = [row for row in running.fleet_counts(tx) if caller.scope.sees_model(row.model)]
    items: list[JsonValue] = [
        {"name": row.model, "version": row.version, "index_sha256": row.index_sha256, "devices": row.devices}
        for row in found
    ]
    return {"items": items, "next": None}


@router.get("/gates")
@scoped(TEAM, GROUP)
def gates(state: State, caller: Viewer) -> dict[str, JsonValue]:
    """What production asks for, by scope: a model, a team, or `*` for the rest."""
    with state.store.read() as tx:
        rows = promotion.every_gate(tx)
    shown: dict[str, JsonValue] = {"*": list(rules_json(DEFAULT))}
    shown |= {row.scope: list(row.rules) for row in rows if _sees(caller, row.scope)}
    return {"gates": shown}


@router.put("/gates", openapi_extra=_GATE)
@scoped(TEAM, GROUP)
def set_gate(body: JsonBody, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Sets what production asks for in one scope; null takes the scope's own rules away."""
    fields = Fields(body, where="gate")
    scope = fields.text("scope", max_chars=129)
    if scope != "*" and not NAME.fullmatch(scope) and not MODEL.fullmatch(scope):
        raise InvalidField("a scope is *, a team, or team/model", where="gate.scope", why=scope[:80])
    raw = fields.raw("rules")
    fields.refuse_rest()
    rules = None if raw is None else parse_rules(raw, where="gate")
    caller.scope.check_team(scope.partition("/")[0])
    two_person.confirm(
        state, caller, action="release.gate", object=f"gate {scope}",
        detail={"rules": None if rules is None else list(rules_json(rules))},
    )  # fmt: skip
    with state.store.transaction() as tx:
        promotion.set_rules(tx, scope, rules, at=state.clock(), actor=caller.actor)
    return gates(state, caller)


@router.post("/collect", openapi_extra=json_schema({"dry_run": {"type": "boolean"}}, required=[]))
def collect(body: JsonBody, state: State, caller: Admin) -> dict[str, JsonValue]:
    """Throws away bytes that no release, device, open rollout or push under way needs."""
    fields = Fields(body, where="body")
    dry_run = fields.optional("dry_run", fields.boolean, False)
    fields.refuse_rest()
    return collecting.collect(state, dry_run=dry_run, actor=caller.actor).as_json()


@router.post("/{team}/{model}/{version}/promote", openapi_extra=_PROMOTE)
def promote(
    team: str, model: str, version: str, body: JsonBody, state: State, caller: Operator
) -> dict[str, JsonValue]:
    """To production, if it has shown what its gate asks for; an approver may override that by name."""
    name = release_name(team, model, version)
    reason, override = _reason(body, "override")
    if override and not caller.may(Role.APPROVER):
        raise NotAuthorised("overriding a gate needs the role approver", where=str(name))
    two_person.confirm(
        state, caller, action="release.promote", object=f"release {name}", detail={"override": override}
    )
    now = state.clock()
    with state.store.transaction() as tx:
        row, checked = promotion.move(
            tx, state.blobs, name, Stage.PRODUCTION, at=now, actor=caller.actor, reason=reason,
            override=override,
        )  # fmt: skip
        return {**release_json(tx, row), "gate": [one.as_json() for one in checked]}


@router.post("/{team}/{model}/{version}/archive", openapi_extra=_STEP)
def archive(
    team: str, model: str, version: str, body: JsonBody, state: State, caller: Operator
) -> dict[str, JsonValue]:
    """No longer for use; its bytes go when nothing needs them, the record stays."""
    name, reason = release_name(team, model, version), _reason(body)[0]
    two_person.confirm(state, caller, action="release.archive", object=f"release {name}")
    return _move(state, caller, name, Stage.ARCHIVED, reason)


@router.post("/{team}/{model}/{version}/restore", openapi_extra=_STEP)
def restore(
    team: str, model: str, version: str, body: JsonBody, state: State, caller: Operator
) -> dict[str, JsonValue]:
    """Back from the archive to staging."""
    return _move(state, caller, release_name(team, model, version), Stage.STAGING, _reason(body)[0])


@router.post("/{team}/{model}/{version}/retract", openapi_extra=_RETRACT)
def retract(
    team: str, model: str, version: str, body: JsonBody, state: State, caller: Operator
) -> dict[str, JsonValue]:
    """Nobody is offered it any more; its open rollouts end, with `rollback` their devices go back."""
    name = release_name(team, model, version)
    reason, rollback = _reason(body, "rollback")
    two_person.confirm(
        state, caller, action="release.retract", object=f"release {name}", detail={"rollback": rollback}
    )
    with state.store.transaction() as tx:
        done = retracting.retract(
            tx, name, at=state.clock(), actor=caller.actor, by=caller.name, reason=reason, rollback=rollback
        )
        return {
            **release_json(tx, done.row),
            "running_on": list(running.devices_running(tx, done.row.index_sha256)),
            "rollouts_canceled": list(done.canceled),
            "rollouts_going_on": list(done.going_on),
        }


def release_name(team: str, model: str, version: str) -> ReleaseName:
    """Raises InvalidField."""
    return ReleaseName(ModelName.parse(f"{team}/{model}"), check_version(version))


def _move(
    state: ServerState, caller: Caller, name: ReleaseName, stage: Stage, reason: str
) -> dict[str, JsonValue]:
    with state.store.transaction() as tx:
        row, _ = promotion.move(
            tx, state.blobs, name, stage, at=state.clock(), actor=caller.actor, reason=reason
        )
        return release_json(tx, row)


def _reason(body: JsonObject, flag: str = "") -> tuple[str, bool]:
    fields = Fields(body, where="body")
    reason = " ".join(fields.text("reason", max_chars=REASON_MAX).split())
    if not reason:
        raise InvalidField("a reason is needed", where="body.reason")
    flagged = fields.optional(flag, fields.boolean, False) if flag else False
    fields.refuse_rest()
    return reason, flagged


def _sees(caller: Caller, scope: str) -> bool:
    return scope == "*" or caller.scope.sees_team(scope.partition("/")[0])
