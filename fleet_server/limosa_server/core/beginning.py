"""From a rollout that was written down to one that runs: checks, approval, its time (rollouts 2)."""

from __future__ import annotations

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.schedule import format_moment
from limosa_server.core import approval, way_back
from limosa_server.core.board import Board
from limosa_server.core.execution import ExecutionEvent
from limosa_server.core.facts import TakeOver
from limosa_server.core.rollout import RolloutEvent, RolloutStatus
from limosa_server.core.wording import devices, waves

_LOST = (Execution.SUPERSEDED, Execution.REMOVED)


def begin(board: Board) -> bool:
    """As far as it may go now; whether it runs. What held at its making is checked once more."""
    if lost_all(board) or _denied(board) or _refused(board):
        return False
    status, rollout = board.rollout.status, board.rollout
    missing = approval.missing(rollout, board.facts.approvals)
    if missing:
        sentence = approval.waits_for(missing)
        if status is RolloutStatus.VALIDATING:
            board.move(RolloutEvent.ASK_APPROVAL, sentence)
            board.decide("waiting", "WAITING_FOR_APPROVAL", sentence)
        board.say(sentence)
        return False
    start = rollout.spec.schedule.start
    if start is not None and start > board.now:
        if status is not RolloutStatus.SCHEDULED:
            board.move(RolloutEvent.SCHEDULE, f"it starts at {format_moment(start)}")
            board.decide("scheduled", "SCHEDULED", board.rollout.reason)
        return False
    _give_up_held(board)
    if lost_all(board):
        return False
    board.move(RolloutEvent.START, "started")
    board.orders.append(TakeOver())
    board.decide("started", "RUNNING", f"{devices(board.count_open())} in {waves(len(board.waves) - 1)}")
    return True


def lost_all(board: Board) -> bool:
    """Whether other rollouts have taken all of its devices, which ends it."""
    totals = board.totals
    if board.rollout.follows or totals.total == 0 or totals.of(*_LOST) < totals.total:
        return False
    board.move(RolloutEvent.SUPERSEDE, "a newer rollout of the same model has taken all of its devices")
    board.decide("superseded", "SUPERSEDED", board.rollout.reason)
    return True


def _denied(board: Board) -> bool:
    vote = approval.denial(board.facts.approvals)
    if vote is None or board.rollout.status is not RolloutStatus.WAITING_FOR_APPROVAL:
        return False
    board.move(RolloutEvent.DENY, vote.sentence)
    way_back.withdraw_open(board, "the rollout was not approved")
    board.decide("denied", "APPROVAL_DENIED", vote.sentence, by=vote.actor)
    return True


def _refused(board: Board) -> bool:
    why = board.facts.obstacle
    if not why and not board.rollout.follows and board.count_open() == 0:
        why = "none of its devices can take the release"
    if not why:
        return False
    board.move(RolloutEvent.REFUSE, why)
    way_back.withdraw_open(board, why)
    board.decide("refused", "INVALID", why)
    return True


def _give_up_held(board: Board) -> None:
    """A rollout of higher rank keeps the devices that both have."""
    if not board.facts.held:
        return
    for run in board.everyone():
        holder = board.facts.held.get(run.device)
        if holder is not None:
            reason = f"rollout {holder} has it, with a higher priority"
            board.put(run.after(ExecutionEvent.SUPERSEDE, now=board.now, step="superseded", reason=reason))
