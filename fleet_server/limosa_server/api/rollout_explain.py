"""`/api/v1/rollouts/{id}/explain`: each decision, made once more from its record (rollouts 5.6)."""

from __future__ import annotations

from fastapi import Response

from limosa_contracts.errors import NotFound
from limosa_contracts.json_value import JsonValue
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Viewer
from limosa_server.api.paging import Cursor, Limit, page
from limosa_server.api.releases import number_of
from limosa_server.api.rollouts import find
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.rollouts.decisions import decisions_of, explained, inputs_of
from limosa_server.tables.rollouts import DecisionRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])


@router.get("/{rollout_id}/explain")
def explain(
    rollout_id: int, state: State, caller: Viewer, limit: Limit = 100, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Every decision, oldest first, and whether it comes out the same when it is made once more: `replay`
    with `outcome` (`same`, `different`, `not possible`, `nothing to decide`) and `why`."""
    after = number_of(cursor) if cursor else 0
    with state.store.read() as tx:
        find(tx, rollout_id)
        rows = decisions_of(tx, rollout_id, after=after, limit=limit + 1)
        told = {one.id: explained(tx, one) for one in rows[:limit]}
    return page(rows, limit=limit, key=lambda one: str(one.id), shape=lambda one: told[one.id])


@router.get("/{rollout_id}/decisions/{decision_id}/inputs", response_class=Response)
def inputs(rollout_id: int, decision_id: int, state: State, caller: Viewer) -> Response:
    """The bytes that a comparison was made on (`limosa.comparison/1`); their sha256 is the decision's
    `inputs_sha256`. Anybody can decide on them again."""
    with state.store.read() as tx:
        row = find(tx, rollout_id)
        decision = tx.get(DecisionRow, decision_id) if 0 < decision_id < 2**63 else None
        body = inputs_of(tx, decision) if decision is not None and decision.rollout == row.id else b""
    if not body:
        raise NotFound(
            "there are no inputs of such a decision",
            where="decision",
            why="it does not exist, or its numbers are all that it was made on",
            hint=f"limosa rollout explain {rollout_id}",
        )
    return Response(body, media_type="application/json")
