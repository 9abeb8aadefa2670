"""`/api/v1/rollouts`: plan, start, watch and stop. The body is a rollout file's fields as JSON."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated

from fastapi import Header, Query, Response
from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.errors import NotFound
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Execution
from limosa_server.access import audit
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Operator, Viewer
from limosa_server.api.bodies import JsonBody
from limosa_server.api.paging import Cursor, Limit, decode_cursor, page
from limosa_server.api.releases import number_of
from limosa_server.api.rollout_plan import BODY, Asked, made_of
from limosa_server.api.routing import Router
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.core.errors import KeyReused, PlanStale
from limosa_server.core.rollout import RolloutStatus
from limosa_server.rollouts import rollout_plan, rollout_start
from limosa_server.rollouts.decisions import decisions_of
from limosa_server.rollouts.rollout_view import decision_json, etag_of, execution_json, rollout_json
from limosa_server.rollouts.starting import Starting
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])


@router.post("", status_code=201, openapi_extra=BODY)
@scoped(TEAM, GROUP)
def start(
    body: JsonBody,
    state: State,
    caller: Operator,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> dict[str, JsonValue]:
    """Starts a rollout. The same Idempotency-Key with the same body gives the same rollout again."""
    asked = Asked.parse(body)
    request_sha256 = hashlib.sha256(encode_canonical(body)).hexdigest()
    key = f"{caller.token_id}/{idempotency_key}" if idempotency_key else None

    def make(tx: Transaction) -> rollout_plan.Made:
        caller.scope.check_rollout(model=str(asked.spec.release.name), target=asked.spec.target)
        return _made(tx, state, asked)

    def write(tx: Transaction, ready: rollout_start.Prepared) -> RolloutRow:
        row = rollout_start.start(
            tx, ready, actor=caller.actor, key=key, request_sha256=request_sha256, draft=asked.draft
        )
        audit.record(
            tx,
            at=ready.now,
            actor=caller.actor,
            action="rollout.draft" if asked.draft else "rollout.start",
            object=f"rollout {row.id}",
            after={**asked.spec.as_json(), **({"despite": list(asked.despite)} if asked.despite else {})},
        )
        return row

    def answer(tx: Transaction, row: RolloutRow) -> dict[str, JsonValue]:
        tx.flush()
        response.headers["Location"] = f"/api/v1/rollouts/{row.id}"
        response.headers["ETag"] = etag_of(row)
        return rollout_json(tx, row, now=state.clock())

    known = partial(_known, key=key, request_sha256=request_sha256)
    return Starting(known=known, make=make, write=write).run(state.store, answer)


def _made(tx: Transaction, state: ServerState, asked: Asked) -> rollout_plan.Made:
    """Raises PlanStale, KnownBad, PlanRefused for what is not to be started."""
    made = made_of(tx, state, asked, now=state.clock())
    if asked.fingerprint and made.plan.fingerprint != asked.fingerprint:
        raise PlanStale(
            "the rollout would not be as it was planned",
            where="plan.fingerprint",
            why="devices joined, left, came or went, or the release changed",
        )
    rollout_plan.refuse_bad(made.plan)
    return made


@router.get("")
@scoped(TEAM, GROUP)
def list_rollouts(
    state: State,
    caller: Viewer,
    status: Annotated[list[RolloutStatus] | None, Query()] = None,
    model: Annotated[str, Query(max_length=129)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> dict[str, JsonValue]:
    """Rollouts, newest first."""
    now = state.clock()
    query = select(RolloutRow).order_by(col(RolloutRow.id).desc()).limit(limit + 1)
    query = query.where(caller.scope.rollouts(RolloutRow.model, RolloutRow.target))
    if cursor:
        query = query.where(col(RolloutRow.id) < number_of(cursor))
    if status:
        query = query.where(col(RolloutRow.status).in_([one.value for one in status]))
    if model:
        query = query.where(RolloutRow.model == model)
    with state.store.read() as tx:
        rows = tx.exec(query).all()
        return page(
            rows, limit=limit, key=lambda row: str(row.id), shape=lambda row: rollout_json(tx, row, now=now)
        )


@router.get("/{rollout_id}")
def show(rollout_id: int, state: State, caller: Viewer, response: Response) -> dict[str, JsonValue]:
    with state.store.read() as tx:
        row = find(tx, rollout_id)
        response.headers["ETag"] = etag_of(row)
        return rollout_json(tx, row, now=state.clock())


@router.get("/{rollout_id}/executions")
def executions(
    rollout_id: int,
    state: State,
    caller: Viewer,
    status: Annotated[list[Execution] | None, Query()] = None,
    wave: Annotated[int | None, Query(ge=0, le=1000)] = None,
    limit: Limit = LIMITS.page_size_max,
    cursor: Cursor = "",
) -> dict[str, JsonValue]:
    """One row per device, by its id."""
    with state.store.read() as tx:
        row = find(tx, rollout_id)
        query = (
            select(ExecutionRow)
            .where(ExecutionRow.rollout == row.id, ExecutionRow.device > decode_cursor(cursor))
            .order_by(col(ExecutionRow.device))
            .limit(limit + 1)
        )
        if status:
            query = query.where(col(ExecutionRow.state).in_([one.value for one in status]))
        if wave is not None:
            query = query.where(ExecutionRow.wave == wave)
        rows = tx.exec(query).all()
    return page(rows, limit=limit, key=lambda one: one.device, shape=execution_json)


@router.get("/{rollout_id}/decisions")
def decisions(
    rollout_id: int, state: State, caller: Viewer, limit: Limit = LIMITS.page_size_max, cursor: Cursor = ""
) -> dict[str, JsonValue]:
    """Every decision with its numbers and its sentence, oldest first (rollouts 5.6)."""
    after = number_of(cursor) if cursor else 0
    with state.store.read() as tx:
        find(tx, rollout_id)
        rows = decisions_of(tx, rollout_id, after=after, limit=limit + 1)
    return page(rows, limit=limit, key=lambda one: str(one.id), shape=decision_json)


def find(tx: Transaction, rollout_id: int) -> RolloutRow:
    row = tx.get(RolloutRow, rollout_id) if 0 < rollout_id < 2**63 else None
    if row is None:
        raise NotFound(
            f"there is no rollout {str(rollout_id)[:40]}", where="rollout", hint="limosa rollout list"
        )
    return row


def _known(tx: Transaction, key: str | None, request_sha256: str) -> RolloutRow | None:
    if key is None:
        return None
    row = tx.exec(select(RolloutRow).where(RolloutRow.idempotency_key == key)).first()
    if row is not None and row.request_sha256 != request_sha256:
        raise KeyReused("this key started another rollout", where="Idempotency-Key", why=f"rollout {row.id}")
    return row
