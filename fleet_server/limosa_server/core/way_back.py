"""Ending a rollout early: devices that have not finished stay, those that must go back are told so."""

from __future__ import annotations

from collections.abc import Iterable

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.on_failure import Scope
from limosa_server.core.board import Board
from limosa_server.core.changing import changed
from limosa_server.core.execution import DeviceExecution, ExecutionEvent, Return
from limosa_server.core.facts import GoBack
from limosa_server.core.rollout import RolloutEvent
from limosa_server.core.wave import WaveStatus
from limosa_server.core.wording import devices

_TAKEN = (Execution.SUPERSEDED, Execution.REMOVED)


def cancel(board: Board) -> None:
    """Ends it; where those at it may finish, when the last that can be reached has."""
    if board.rollout.stopping and _some_finish(board):
        return
    if board.facts.more:
        _withdraw(board, board.open(), "the rollout was canceled")
        return
    withdraw_open(board, "the rollout was canceled")
    sentence = f"canceled: {board.rollout.reason}"
    board.move(RolloutEvent.STOPPED, board.rollout.reason)
    board.decide("canceled", "CANCELED", sentence)


def _some_finish(board: Board) -> bool:
    """Whether devices are at it still; those that have not begun end here."""
    queued = [run for run in board.open() if run.state is Execution.QUEUED]
    _withdraw(board, queued, "the rollout was stopped")
    busy = sum(wave.present for wave in board.waves)
    if busy:
        board.say(f"{devices(busy)} at it may finish")
    return busy > 0


def withdraw_open(board: Board, reason: str) -> None:
    """Executions that have not ended end here; who was offered the release is told to stay."""
    _withdraw(board, board.everyone(), reason)


def _withdraw(board: Board, runs: Iterable[DeviceExecution], reason: str) -> None:
    for run in list(runs):
        ended = run.after(
            ExecutionEvent.CANCEL, now=board.now, step="canceled", reason=reason, code="canceled"
        )
        if run.offered_at is not None:
            ended = changed(
                ended,
                returning=Return.SENT,
                return_version=run.from_version,
                return_index=run.from_index,
                document=(0, 0),
            )
            board.orders.append(GoBack(run.device, run.from_version, run.from_index))
        board.put(ended)


def roll_back(board: Board) -> None:
    """Sends devices back, and ends when all have said that they are there, or cannot be."""
    for run in list(board.runs.values()):
        if not run.state.terminal:
            run = run.after(
                ExecutionEvent.CANCEL,
                now=board.now,
                step="canceled",
                reason=board.rollout.reason,
                code="canceled",
            )
            board.put(run)
        if run.returning is Return.NONE and run.state not in _TAKEN:
            _send_back(board, run)
        elif run.returning is Return.SENT:
            _give_up_late(board, run)
    _finish(board)


def _send_back(board: Board, run: DeviceExecution) -> None:
    if run.offered_at is None or not _in_scope(board, run):
        board.put(changed(run, returning=Return.NOT_NEEDED))
        return
    to = _named(board)
    version = to or run.from_version
    index = board.facts.index_of_version[to] if to else run.from_index
    if index == board.rollout.index_sha256:
        board.put(changed(run, returning=Return.NOT_NEEDED))
        return
    stuck = _why_not(board, run, version)
    if stuck:
        board.put(_stuck(run, stuck, "cannot_return"))
        return
    board.put(
        changed(
            run,
            returning=Return.SENT,
            return_version=version,
            return_index=index,
            document=(0, 0),
            clock_from=board.now,
        )
    )
    board.orders.append(GoBack(run.device, version, index))


def _named(board: Board) -> str:
    """`on_failure.to`; "" where the file names none, or one that nobody is to be offered any more: then each
    device goes back to what it ran before."""
    to = board.rollout.spec.on_failure.to
    return to if to in board.facts.index_of_version else ""


def _in_scope(board: Board, run: DeviceExecution) -> bool:
    if board.rollout.rollback_scope is Scope.WAVE and board.rollout.failed_wave is not None:
        return run.wave == board.rollout.failed_wave
    return True


def _why_not(board: Board, run: DeviceExecution, version: str) -> str:
    """ "" if the device may go back. One that never committed runs the old version still (agent 4.4)."""
    if not run.state.succeeded and not run.committed:
        return ""
    if not version:
        return "it ran nothing before, so there is nothing to return to"
    # trust 2.4: the release that runs must name the version; anything else needs a permit
    if version not in board.facts.may_return_to:
        return f"its release does not allow a return to {version}: the team key must permit it"
    return ""


def _give_up_late(board: Board, run: DeviceExecution) -> None:
    timeouts = board.rollout.spec.timeouts
    if run.away:
        late = board.now - board.rollout.since > board.rollout.spec.success.reachable_within_s
    else:
        late = board.now - run.clock_from > timeouts.offer_s + timeouts.in_progress_s
    if late:
        board.put(_stuck(run, "did not say in time that it went back", "return_timed_out"))


def _stuck(run: DeviceExecution, why: str, code: str) -> DeviceExecution:
    reason = f"{run.reason}; {why}" if run.reason else why
    return changed(run, returning=Return.STUCK, reason=reason, reason_code=run.reason_code or code)


def _finish(board: Board) -> None:
    """By the counters: most of those on the way were not read."""
    if board.facts.more:
        return
    waiting = sum(wave.way_back.get(Return.SENT.value, 0) for wave in board.waves)
    stuck = sum(wave.way_back.get(Return.STUCK.value, 0) for wave in board.waves)
    if waiting:
        board.say(f"{devices(waiting)} on the way back")
        return
    if stuck:
        reason = _after_the_cause(board, f"{devices(stuck)} could not go back")
        board.move(RolloutEvent.STUCK, reason)
    else:
        asked, named = board.rollout.spec.on_failure.to, _named(board)
        runs = named or "the version it had before"
        if asked and not named:
            runs += f", for {asked} cannot be offered any more"
        reason = _after_the_cause(board, f"every device runs {runs}")
        board.move(RolloutEvent.RETURNED, reason)
    board.decide("rolled_back", board.rollout.status.value, reason)


def _after_the_cause(board: Board, outcome: str) -> str:
    """What stopped the rollout comes first, wherever its end is told."""
    causes = [wave.reason for wave in board.waves if wave.status is WaveStatus.FAILED and wave.reason]
    return "; ".join([*causes[:1], outcome])
