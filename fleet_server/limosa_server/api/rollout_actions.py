"""`/api/v1/rollouts/{id}/pause|resume|cancel`: what an operator decides."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, Response
from sqlmodel import col, select

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_server.access import audit
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Caller, Operator
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.conditional import check_if_match
from limosa_server.api.rollouts import find
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core import operate
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Rollout
from limosa_server.core.wave import Wave
from limosa_server.rollouts.executions import CONTROLLER
from limosa_server.rollouts.rollout_rows import decision_row, rollout_of, wave_of, write_rollout, write_wave
from limosa_server.rollouts.rollout_view import etag_of, rollout_json
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import RolloutRow, WaveRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])
REMARK = json_schema({"remark": {"type": "string", "maxLength": 500}}, required=[])
_CANCEL = json_schema(
    {
        "remark": {"type": "string", "maxLength": 500},
        "rollback": {"type": "boolean", "description": "devices that committed go back too"},
        "let_finish": {"type": "boolean", "description": "those at it may finish; nobody else begins"},
    },
    required=[],
)


@router.post("/{rollout_id}/pause", openapi_extra=REMARK)
def pause(
    rollout_id: int, body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """No further device is offered the release; those at it go on."""
    remark = _remark(Fields(body, where="body"))
    now = state.clock()
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        rollout, decision = operate.pause(rollout_of(row), now=now, by=caller.name, remark=remark)
        return save(tx, row, rollout, (), decision, caller, response, now)


@router.post("/{rollout_id}/resume", openapi_extra=REMARK)
def resume(
    rollout_id: int, body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """Goes on; what had stopped it is thereby accepted, and the record says by whom."""
    remark = _remark(Fields(body, where="body"))
    now = state.clock()
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        waves = [wave_of(one) for one in _wave_rows(tx, row)]
        rollout, moved, decision = operate.resume(
            rollout_of(row), waves, now=now, by=caller.name, remark=remark
        )
        return save(tx, row, rollout, moved, decision, caller, response, now)


@router.post("/{rollout_id}/cancel", openapi_extra=_CANCEL)
def cancel(
    rollout_id: int, body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """Ends it. Devices that committed keep the release, or go back too with `rollback`; those at it are
    told to stay with what they run, or may finish with `let_finish`."""
    fields = Fields(body, where="body")
    rollback = fields.optional("rollback", fields.boolean, False)
    let_finish = fields.optional("let_finish", fields.boolean, False)
    remark = _remark(fields)
    now = state.clock()
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        rollout, decision = operate.cancel(
            rollout_of(row), now=now, by=caller.name, rollback=rollback, finish=let_finish, remark=remark
        )
        return save(tx, row, rollout, (), decision, caller, response, now)


def _remark(fields: Fields) -> str:
    remark = fields.optional("remark", lambda n: fields.text(n, max_chars=500, empty=True), "")
    fields.refuse_rest()
    return remark


def for_change(tx: Transaction, rollout_id: int, caller: Caller, request: Request) -> RolloutRow:
    row = find(tx, rollout_id)
    caller.needs_team(row.model.split("/")[0])
    check_if_match(request, etag_of(row))
    return row


def _wave_rows(tx: Transaction, row: RolloutRow) -> Sequence[WaveRow]:
    return tx.exec(select(WaveRow).where(WaveRow.rollout == row.id).order_by(col(WaveRow.index))).all()


def save(
    tx: Transaction,
    row: RolloutRow,
    rollout: Rollout,
    waves: Sequence[Wave],
    decision: Decision,
    caller: Caller,
    response: Response,
    now: float,
) -> dict[str, JsonValue]:
    before = row.status
    write_rollout(row, rollout)
    tx.add(row)
    for found, wave in zip(_wave_rows(tx, row), waves, strict=False):
        if wave_of(found) != wave:
            write_wave(found, wave)
            tx.add(found)
    tx.add(decision_row(rollout.id, decision, at=now))
    audit.record(
        tx,
        at=now,
        actor=caller.actor,
        action=f"rollout.{decision.kind}",
        object=f"rollout {rollout.id}",
        before={"status": before},
        after={"status": row.status, "reason": row.reason},
    )
    tx.announce(CONTROLLER, "rollouts", f"rollout {rollout.id}")
    response.headers["ETag"] = etag_of(row)
    return rollout_json(tx, row, now=now)
