"""`/api/v1/rollouts/{id}/submit|approve|deny|finish`: before a rollout runs, and how one that follows its
group ends."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request, Response

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.access import two_person
from limosa_server.api.answers import AnswerRoute
from limosa_server.api.auth import Approver, Caller, Operator
from limosa_server.api.bodies import JsonBody, json_schema
from limosa_server.api.rollout_actions import REMARK, for_change, save
from limosa_server.api.routing import Router
from limosa_server.api.state import State
from limosa_server.core import operate
from limosa_server.core.approval import Vote, check_vote, missing, person_of, waits_for
from limosa_server.core.errors import ApprovalRefused
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Rollout
from limosa_server.rollouts.outer_facts import votes
from limosa_server.rollouts.rollout_rows import rollout_of
from limosa_server.state import ServerState
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import ApprovalRow

router = Router(route_class=AnswerRoute, prefix="/api/v1/rollouts", tags=["rollouts"])
_NOTHING = json_schema({}, required=[])


@router.post("/{rollout_id}/submit", openapi_extra=_NOTHING)
def submit(
    rollout_id: int, body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """A draft is asked for: it is checked, waits for approval and its time, and runs."""
    Fields(body, where="body").refuse_rest()
    now = state.clock()
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        rollout, decision = operate.submit(rollout_of(row), now=now, by=caller.name)
        return save(tx, row, rollout, (), decision, caller, response, now)


@router.post("/{rollout_id}/approve", openapi_extra=REMARK)
def approve(
    rollout_id: int, body: JsonBody, state: State, caller: Approver, request: Request, response: Response
) -> dict[str, JsonValue]:
    """One person agrees; the last word of each counts. It runs when enough have."""
    return _vote(rollout_id, body, state, caller, request, response, approves=True)


@router.post("/{rollout_id}/deny", openapi_extra=REMARK)
def deny(
    rollout_id: int, body: JsonBody, state: State, caller: Approver, request: Request, response: Response
) -> dict[str, JsonValue]:
    """One who says no ends it."""
    return _vote(rollout_id, body, state, caller, request, response, approves=False)


@router.post("/{rollout_id}/finish", openapi_extra=REMARK)
def finish(
    rollout_id: int, body: JsonBody, state: State, caller: Operator, request: Request, response: Response
) -> dict[str, JsonValue]:
    """Devices that join its group follow no more; it completes by its own rules."""
    remark = _remark(body)
    now = state.clock()
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        rollout, decision = operate.finish(rollout_of(row), now=now, by=caller.name, remark=remark)
        return save(tx, row, rollout, (), decision, caller, response, now)


def _vote(
    rollout_id: int,
    body: JsonObject,
    state: ServerState,
    caller: Caller,
    request: Request,
    response: Response,
    *,
    approves: bool,
) -> dict[str, JsonValue]:
    """Written down with the actor; the controller acts on it in its next tick. The answer counts already."""
    vote = Vote(actor=caller.actor, approves=approves, remark=_remark(body), at=state.clock())
    with state.store.transaction() as tx:
        row = for_change(tx, rollout_id, caller, request)
        rollout = rollout_of(row)
        check_vote(rollout, vote)
        if approves:
            _check_two(tx, caller, rollout)
        said = tx.get(ApprovalRow, (rollout_id, vote.actor)) or ApprovalRow(
            rollout=rollout_id, actor=vote.actor, verdict="", at=vote.at
        )
        said.verdict = "approved" if approves else "denied"
        said.remark, said.at = vote.remark, vote.at
        tx.add(said)
        tx.flush()
        reason = waits_for(missing(rollout, votes(tx, rollout_id))) if approves else vote.sentence
        rollout = replace(rollout, reason=reason)
        decision = Decision(
            kind=said.verdict,
            verdict=row.status,
            sentence=vote.sentence,
            numbers={"by": vote.actor},
            by=caller.name,
        )
        return save(tx, row, rollout, (), decision, caller, response, vote.at)


def _check_two(tx: Transaction, caller: Caller, rollout: Rollout) -> None:
    """That nobody agrees with a token that an author or another approver has made. Raises ApprovalRefused."""
    wanted = rollout.spec.approval
    if wanted is None or not wanted.four_eyes:
        return
    agreed = [vote.actor for vote in votes(tx, rollout.id) if vote.approves]
    for actor in (rollout.created_by, *agreed):
        token_id = actor.removeprefix("token ").partition(" ")[0]
        name = person_of(actor)
        if name != caller.name and not two_person.are_two(tx, caller, token_id=token_id, name=name):
            raise ApprovalRefused(
                f"the tokens of {caller.name} and {name} are of one hand, so somebody else must agree",
                where=f"rollout {rollout.id}",
                why="approval.four_eyes: one of them made the other's token",
            )


def _remark(body: JsonObject) -> str:
    fields = Fields(body, where="body")
    remark = fields.optional("remark", lambda n: fields.text(n, max_chars=500, empty=True), "")
    fields.refuse_rest()
    return remark
