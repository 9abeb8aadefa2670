"""`/api/v1/rollouts/plan`: what a start would do, as JSON and as a document; nothing is written."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from fastapi import Query, Response

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.planning.document import as_html, as_markdown
from limosa_server.core.planning.plan import Plan
from limosa_server.core.planning.text import plan_text
from limosa_server.registry.delta_sizes import delta_bytes
from limosa_server.rollouts import rollout_plan
from limosa_server.state import ServerState
from limosa_server.store import Transaction

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])
DESPITE_MAX: Final = 100
DOCUMENT_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
FIELDS: dict[str, Any] = {
    "release": {"type": "string"},
    "group": {"type": "string"},
    "selector": {"type": "string"},
    **{name: {"type": "array", "items": {"type": "object"}} for name in ("waves", "abort", "analysis")},
    **{
        name: {"type": "object"}
        for name in ("rate", "success", "trial", "telemetry", "timeouts", "on_failure", "control")
    },
    "on_inconclusive": {"type": "string", "enum": ["extend", "pause"]},
    "mode": {"type": "string", "enum": ["replace", "shadow", "ab"]},
    **{name: {"type": "object"} for name in ("shadow", "ab")},
    "target_selection": {"type": "string", "enum": ["snapshot", "continuous"]},
    "priority": {"type": "integer"},
    **{name: {"type": "object"} for name in ("retry", "schedule", "approval")},
    "draft": {"type": "boolean", "description": "written down only; POST …/submit asks for it"},
    "despite": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "rollouts whose findings are set aside (known-bad); recorded with your name",
    },
    "plan": {
        "type": "object",
        "description": "salt and fingerprint of a plan: run exactly that",
        "properties": {"salt": {"type": "string"}, "fingerprint": {"type": "string"}},
    },
}
BODY = json_schema(
    FIELDS,
    required=["release"],
    example={
        "release": "demo/motion@2.0.0",
        "group": "watches",
        "waves": [{"name": "canary", "count": 1, "bake": "1h"}, {"name": "rest", "bake": "24h"}],
    },
)


@router.post("/plan", openapi_extra=BODY)
@scoped(TEAM, GROUP)
def plan(body: JsonBody, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """What a start would do; nothing is written."""
    return planned(state, caller, body).as_json()


@router.post("/plan/document", openapi_extra=BODY, response_class=Response)
@scoped(TEAM, GROUP)
def plan_document(
    body: JsonBody,
    state: State,
    caller: Viewer,
    form: Annotated[Literal["markdown", "html", "text"], Query()] = "markdown",
) -> Response:
    """The plan to hand to others: timeline, risks, how it is undone. Nothing is written."""
    found = planned(state, caller, body)
    at = state.clock()
    if form == "text":
        return Response(plan_text(found.as_json()), media_type="text/plain")
    if form == "html":
        return Response(as_html(found.as_json(), at=at), media_type="text/html", headers=DOCUMENT_HEADERS)
    return Response(as_markdown(found.as_json(), at=at), media_type="text/markdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rollout file's fields, and what stands beside them: a plan to run exactly, findings set aside."""

    spec: RolloutSpec
    salt: str
    fingerprint: str
    despite: tuple[int, ...]
    draft: bool = False

    @classmethod
    def parse(cls, body: JsonObject) -> Self:
        """A salt is drawn where none is given. Raises InvalidField."""
        given = dict(body)
        beside = Fields(
            {"despite": given.pop("despite", []), "draft": given.pop("draft", None)}, where="rollout"
        )
        fields = Fields(given.pop("plan", None) or {}, where="rollout.plan")
        salt = fields.optional("salt", lambda n: fields.text(n, max_chars=64), "")
        fingerprint = fields.optional("fingerprint", lambda n: fields.text(n, max_chars=64), "")
        fields.refuse_rest()
        if fingerprint and not salt:
            raise InvalidField("a plan has a salt and a fingerprint", where="rollout.plan.salt")
        return cls(
            spec=RolloutSpec.parse(given),
            salt=salt or secrets.token_hex(8),
            fingerprint=fingerprint,
            despite=_numbers(beside),
            draft=beside.optional("draft", beside.boolean, False),
        )


def _numbers(fields: Fields) -> tuple[int, ...]:
    found = []
    for place, item in fields.items("despite", max_items=DESPITE_MAX):
        one = Fields({"rollout": item}, where=place)
        found.append(one.integer("rollout", low=1, high=2**63 - 1))
    return tuple(found)


def planned(state: ServerState, caller: Caller, body: JsonObject) -> Plan:
    """What a start with this body would do. Raises InvalidField, NotFound, NotAuthorised."""
    asked = Asked.parse(body)
    caller.scope.check_rollout(model=str(asked.spec.release.name), target=asked.spec.target)
    with state.store.read() as tx:
        return made_of(tx, state, asked, now=state.clock()).plan


def made_of(tx: Transaction, state: ServerState, asked: Asked, *, now: float) -> rollout_plan.Made:
    return rollout_plan.make(
        tx,
        asked.spec,
        salt=asked.salt,
        now=now,
        despite=asked.despite,
        bytes_of=rollout_plan.by_delta(lambda base, new: delta_bytes(state.blobs, state.deltas, base, new)),
    )
