"""Who is offered the release now, who is away, and whose time is up (rollouts 3.4, 3.5, 3.10)."""

from __future__ import annotations

from limosa_contracts.duration import format_duration
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.timeouts import Timeouts
from limosa_server.core import pace, retrying
from limosa_server.core.board import Board
from limosa_server.core.changing import changed
from limosa_server.core.execution import (
    SILENT_STEPS,
    VERIFYING_STEPS,
    WAITING,
    DeviceExecution,
    ExecutionEvent,
)
from limosa_server.core.facts import Offer
from limosa_server.core.habit import is_silent
from limosa_server.core.wave import Wave


def move_clocks(board: Board) -> None:
    """Notes who is away, and for longer than its habits explain (rollouts 3.4). Neither clock runs
    meanwhile; it starts anew when the device is back."""
    silence = board.rollout.spec.timeouts.silence_s
    for run in list(board.runs.values()):
        device = board.device(run.device)
        silent_for = device.silent_for(board.now)
        away = silent_for > silence
        silent = run.step in SILENT_STEPS and is_silent(
            silent_for, allowed_s=silence, usual_gap_s=device.usual_gap_s
        )
        if away != run.away or silent != run.silent:
            back = run.away and not away
            clock_from = board.now if back else run.clock_from
            board.put(changed(run, away=away, silent=silent, clock_from=clock_from))


def time_out(board: Board) -> None:
    """Ends what took too long, unless it is tried again; and gives up what waited in vain for that."""
    timeouts, retry = board.rollout.spec.timeouts, board.rollout.spec.retry
    for run in list(board.open()):
        if run.away:
            continue
        if run.state is Execution.QUEUED:
            if run.not_before is not None and board.now - run.clock_from > timeouts.in_progress_s:
                board.put(retrying.give_up(run, now=board.now))
            continue
        late = too_late(run, timeouts, now=board.now)
        if late:
            ended = run.after(
                ExecutionEvent.TIME_OUT, now=board.now, step="timed_out", reason=late, code="timed_out"
            )
            condition = board.device(run.device).condition
            board.put(retrying.again(ended, retry, condition, now=board.now))


def too_late(run: DeviceExecution, timeouts: Timeouts, *, now: float) -> str:
    """Why the time of a device that can be reached is up, "" if it is not. A device that waits for its
    maintenance window has all the time in the world."""
    if run.state is Execution.NOTIFIED:
        clocks = [(timeouts.offer_s, run.clock_from, "did not begin")]
    elif run.state is not Execution.IN_PROGRESS or run.step == WAITING:
        return ""
    else:
        clocks = [(timeouts.in_progress_s, run.clock_from, f"was {run.step}")]
        if timeouts.download_stall_s is not None and run.step == "downloading":
            clocks.append((timeouts.download_stall_s, max(run.since, run.clock_from), "was downloading"))
        if timeouts.verify_s is not None and run.step in VERIFYING_STEPS:
            clocks.append((timeouts.verify_s, max(run.verify_from, run.clock_from), f"was {run.step}"))
    return next(
        (
            f"{what} within {format_duration(allowed)}" if "did not" in what else _still(what, allowed)
            for allowed, begun, what in clocks
            if now - begun > allowed
        ),
        "",
    )


def _still(what: str, allowed_s: float) -> str:
    return f"{what} still after {format_duration(allowed_s)}"


def make_offers(board: Board, wave: Wave) -> None:
    """Offers the release to devices of the wave that can be reached, as many as the rate allows."""
    room = 0
    for run in list(board.open(wave.index)):
        if run.state is not Execution.QUEUED or run.away or not ready(board, run):
            continue
        if room <= 0:  # each offer takes one at most: only then counters are added up again
            room = pace.budget(board)
        if room <= 0 or pace.hold_back(board):
            return
        offer(board, run)
        room -= 1


def ready(board: Board, run: DeviceExecution) -> bool:
    return retrying.may_try(run, board.device(run.device).condition, now=board.now)


def offer(board: Board, run: DeviceExecution, *, reason: str = "offered") -> None:
    """One offer. A device that already runs the release, at rest, is through at once."""
    facts = board.device(run.device)
    running = facts.running_index == board.rollout.index_sha256 and facts.at_rest
    event = ExecutionEvent.FIND_RUNNING if running else ExecutionEvent.OFFER
    step = "already_installed" if running else "notified"
    board.put(
        changed(
            run.after(event, now=board.now, step=step, reason="it ran it before" if running else reason),
            offered_at=board.now,
            not_before=None,
            from_version=facts.running_version,
            from_index=facts.running_index,
        )
    )
    if not running:
        pace.spend(board, run.size_bytes)
    board.orders.append(Offer(run.device))
    board.offered += 1
