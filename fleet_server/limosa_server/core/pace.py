"""How many may be offered the release now: per minute, at once, and by bytes (rollouts 3.10, 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from limosa_contracts.duration import about_duration
from limosa_contracts.phases import Execution
from limosa_server.core.board import Board
from limosa_server.core.changing import changed
from limosa_server.core.rollout import Pause, RolloutEvent
from limosa_server.core.wave import Wave

AHEAD_S: Final = 1.0  # offers may run ahead of the bytes per second by this: a tick makes several
SPENT_PAUSE_S: Final = 600.0  # waiting longer than this for bytes is a state of its own


def budget(board: Board) -> int:
    """Devices that may be offered the release in this tick; bytes aside."""
    rate = board.rollout.spec.rate
    totals = board.totals
    left = rate.per_minute(totals.succeeded) - board.facts.offered_last_minute - board.offered
    if rate.max_in_progress is not None:
        left = min(left, rate.max_in_progress - at_it(board.waves))
    return left


def at_it(waves: Iterable[Wave]) -> int:
    """Devices that take up a place of `rate.max_in_progress`. One that is away takes none: it would hold up
    all the others for as long as it pleases, and no clock runs for it (rollouts 3.5); unless it is silent
    since the switch (3.4), for a release that kills devices must not get one more for each that it killed."""
    states = (Execution.NOTIFIED, Execution.IN_PROGRESS)
    return sum(wave.counts.of(*states) - wave.away.of(*states) + wave.silent for wave in waves)


def bytes_spent(board: Board) -> bool:
    """Whether the next offer must wait for `rate.max_bytes_per_second`.

    Each offer moves `bytes_free_at` on by the time that its bytes take at that speed (a token bucket,
    kept as one moment): over any time the bytes told are at most the speed times that time, plus one
    variant.
    """
    if board.rollout.spec.rate.max_bytes_per_second is None:
        return False
    return board.rollout.bytes_free_at > board.now + AHEAD_S


def spend(board: Board, size_bytes: int) -> None:
    speed = board.rollout.spec.rate.max_bytes_per_second
    if speed is not None:
        begins = max(board.now, board.rollout.bytes_free_at)
        board.rollout = changed(board.rollout, bytes_free_at=begins + size_bytes / speed)


def hold_back(board: Board) -> bool:
    """Whether no offer may be made now, by bytes or by the window; a long wait pauses the rollout."""
    opens_at = board.facts.opens_at
    if opens_at is not None:
        _wait(board, Pause.OUTSIDE_WINDOW, opens_at, "no maintenance window is open")
        return True
    if not bytes_spent(board):
        return False
    until = board.rollout.bytes_free_at
    if until - board.now > SPENT_PAUSE_S:
        _wait(board, Pause.BUDGET, until, "its bytes per second are spent")
    else:
        board.say("its bytes per second are spent for the moment")
    return True


def _wait(board: Board, pause: Pause, until: float, why: str) -> None:
    if board.rollout.pause is pause:
        return
    board.move(RolloutEvent.PAUSE, f"{why}; it goes on by itself", pause=pause)
    board.rollout = changed(board.rollout, resume_at=until)


def resume_by_itself(board: Board) -> None:
    """Ends a pause of its own making when its time has come."""
    rollout = board.rollout
    if not rollout.pause.ends_by_itself:
        return
    window_open = rollout.pause is Pause.OUTSIDE_WINDOW and board.facts.opens_at is None
    if window_open or (rollout.resume_at is not None and board.now >= rollout.resume_at):
        waited = about_duration(board.now - rollout.since)
        board.move(RolloutEvent.RESUME, f"goes on after {waited}")
