"""Who is offered the release now, who is away, and whose time is up (rollouts 3.4, 3.5, 3.10)."""

from __future__ import annotations

from dataclasses import replace

from limosa_contracts.duration import format_duration
from limosa_contracts.phases import Execution
from limosa_server.core.board import Board
from limosa_server.core.execution import DeviceExecution, ExecutionEvent
from limosa_server.core.facts import Offer
from limosa_server.core.wave import Wave


def move_clocks(board: Board) -> None:
    """Notes who is away. Neither clock runs meanwhile; it starts anew when the device is back."""
    silence = board.rollout.spec.timeouts.silence_s
    for run in list(board.runs.values()):
        away = board.device(run.device).silent_for(board.now) > silence
        if away != run.away:
            board.put(replace(run, away=away, clock_from=run.clock_from if away else board.now))


def time_out(board: Board) -> None:
    timeouts = board.rollout.spec.timeouts
    for run in list(board.open()):
        allowed, what = {
            Execution.NOTIFIED: (timeouts.offer_s, "did not begin"),
            Execution.IN_PROGRESS: (timeouts.in_progress_s, f"was {run.step}"),
        }.get(run.state, (float("inf"), ""))
        if not run.away and board.now - run.clock_from > allowed:
            reason = f"{what} within {format_duration(allowed)}"
            board.put(
                run.after(
                    ExecutionEvent.TIME_OUT, now=board.now, step="timed_out", reason=reason, code="timed_out"
                )
            )


def make_offers(board: Board, wave: Wave) -> None:
    """Offers the release to devices of the wave that can be reached, as many as the rate allows."""
    for run in [run for run in board.open(wave.index) if run.state is Execution.QUEUED and not run.away]:
        if budget(board) <= 0:
            return
        offer(board, run)


def budget(board: Board) -> int:
    rate = board.rollout.spec.rate
    left = rate.maximum_per_minute - board.facts.offered_last_minute - board.offered
    if rate.max_in_progress is not None:
        busy = board.totals.of(Execution.NOTIFIED, Execution.IN_PROGRESS)
        left = min(left, rate.max_in_progress - busy)
    return left


def offer(board: Board, run: DeviceExecution, *, reason: str = "offered") -> None:
    """One offer. A device that already runs the release, at rest, is through at once."""
    facts = board.device(run.device)
    running = facts.running_index == board.rollout.index_sha256 and facts.at_rest
    event = ExecutionEvent.FIND_RUNNING if running else ExecutionEvent.OFFER
    step = "already_installed" if running else "notified"
    board.put(
        replace(
            run.after(event, now=board.now, step=step, reason="it ran it before" if running else reason),
            offered_at=board.now,
            from_version=facts.running_version,
            from_index=facts.running_index,
        )
    )
    board.orders.append(Offer(run.device))
    board.offered += 1
