"""A rollout that has passed its gates: it completes, or goes on to follow its group (rollouts 3.5)."""

from __future__ import annotations

from dataclasses import replace

from limosa_contracts.rollout.modes import Mode
from limosa_server.core.board import Board
from limosa_server.core.facts import Promote
from limosa_server.core.rollout import RolloutEvent
from limosa_server.core.wave import WaveEvent, WaveStatus
from limosa_server.core.wording import devices


def settle(board: Board) -> None:
    """Its gates have passed. Who joins from now on still comes in through the tail: rate-limited, and
    the abort rules hold."""
    totals = board.totals
    board.rollout = replace(board.rollout, settled=True)
    board.orders.append(Promote())
    sentence = f"{totals.succeeded} of {totals.executed} executed devices run it; it follows its group"
    board.decide("settled", "RUNNING", sentence)
    say(board)


def say(board: Board) -> None:
    totals = board.totals
    left = f"; {devices(totals.open)} not through" if totals.open else ""
    board.say(f"it follows its group: {devices(totals.succeeded)} run it{left}")


def complete(board: Board) -> None:
    """It ends well. Devices that were offered the release and are away follow; the others never began."""
    totals = board.totals
    stragglers = totals.open
    follow = f"; {stragglers} stragglers get it when they come back" if stragglers else ""
    sentence = f"{totals.succeeded} of {totals.executed} executed devices run it{follow}"
    if board.waves[-1].status is WaveStatus.IN_PROGRESS:  # it followed its group until now
        board.move_wave(board.waves[-1], WaveEvent.BELOW, sentence)
        board.move_wave(board.waves[-1], WaveEvent.GATE_PASSED, sentence)
    board.move(RolloutEvent.COMPLETE, sentence)
    board.rollout = replace(board.rollout, stragglers=stragglers, follows=False)
    if board.rollout.spec.mode is Mode.REPLACE:  # the others ask a question, and people answer it
        board.orders.append(Promote())
    board.decide("completed", "COMPLETED", sentence)
