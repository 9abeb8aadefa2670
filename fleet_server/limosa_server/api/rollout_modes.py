"""`/api/v1/rollouts/{id}/report|promote`: what a shadow or a comparison has shown, and what follows."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header, Response

from limosa_contracts.errors import Conflict
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.modes import Mode
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.rollout_plan import FIELDS
from limosa_server.api.rollouts import find, start
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core.rollout import RolloutStatus
from limosa_server.rollouts.modes_report import report_of
from limosa_server.tables.rollouts import RolloutRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])
_OF_THE_MODE: Final = ("mode", "shadow", "ab", "control", "target_selection")
_OVERRIDES: dict[str, Any] = {
    name: shape for name, shape in FIELDS.items() if name not in ("release", "group", "selector")
}
_BODY = json_schema(
    _OVERRIDES,
    required=[],
    example={"waves": [{"name": "canary", "percent": 10, "bake": "1h"}, {"name": "rest"}]},
)


@router.get("/{rollout_id}/report")
def report(rollout_id: int, state: State, caller: Viewer) -> dict[str, JsonValue]:
    """Of a shadow: how far it agrees, and where not. Of a comparison: each KPI's effect with its interval,
    and a recommendation, which is final when the time is over."""
    with state.store.read() as tx:
        return report_of(tx, find(tx, rollout_id), now=state.clock())


@router.post("/{rollout_id}/promote", status_code=201, openapi_extra=_BODY)
def promote(
    rollout_id: int,
    body: JsonBody,
    state: State,
    caller: Operator,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> dict[str, JsonValue]:
    """Starts a rollout that replaces: of the same release, on the same target. The body's fields come in
    the place of the file's; waves of a comparison are not taken over."""
    with state.store.read() as tx:
        row = find(tx, rollout_id)
        fields = _fields(row)
    return start(
        body={**fields, **body},
        state=state,
        caller=caller,
        response=response,
        idempotency_key=idempotency_key,
    )


def _fields(row: RolloutRow) -> dict[str, JsonValue]:
    """Raises Conflict where there is nothing to promote."""
    spec = RolloutSpec.parse(row.spec)
    if spec.mode is Mode.REPLACE:
        raise Conflict(
            "only a shadow or a comparison is promoted",
            where=f"rollout {row.id}",
            why="this one replaces already",
            hint=f"limosa rollout status {row.id}",
        )
    done = (RolloutStatus.COMPLETED.value, RolloutStatus.PAUSED.value)
    if row.status not in done or (row.status == RolloutStatus.PAUSED.value and row.pause != "manual"):
        raise Conflict(
            f"a rollout that is {row.status} is not promoted",
            where=f"rollout {row.id}",
            why=row.reason,
            hint=f"limosa rollout report {row.id}",
        )
    left_out = {*_OF_THE_MODE, *(["waves"] if spec.mode is Mode.AB else [])}
    return {name: value for name, value in spec.as_json().items() if name not in left_out}
