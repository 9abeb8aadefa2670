"""What a wave does while both releases are held, in the modes that hold them (rollouts 6). Pure."""

from __future__ import annotations

from limosa_contracts.rollout.modes import Mode
from limosa_server.core import way_back
from limosa_server.core.board import Board
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.modes.agreement import judge_agreement
from limosa_server.core.offers import make_offers
from limosa_server.core.wave import Wave


def holds(board: Board) -> bool:
    return board.rollout.spec.mode is not Mode.REPLACE


def bakes_on(board: Board, wave: Wave) -> bool:
    """Whether a wave whose bake is over goes on with it: its shadow has not compared enough to tell.

    Devices that come back while the last wave bakes are offered the release: in a comparison those that
    are often away must not be missing from one arm alone.
    """
    if not holds(board):
        return False
    tail = board.waves[-1]
    if wave.index == tail.index - 1:
        make_offers(board, tail)
    shadow = board.rollout.spec.modes.shadow
    over = board.now - wave.since - wave.bake_s
    if shadow is None or not 0 <= over < shadow.wait_s:
        return False
    verdict, decision = judge_agreement(shadow, board.facts.agreement, wave=wave.index, name=wave.name)
    if verdict is not Verdict.INCONCLUSIVE:
        return False
    board.say(f"{decision.sentence}; it waits for rows")
    return True


def agrees(board: Board, wave: Wave, verdict: Verdict, sentence: str) -> tuple[Verdict, str]:
    """The gate of a shadow, after that of the counts: the verdict of both, and its sentence."""
    shadow = board.rollout.spec.modes.shadow
    if shadow is None or verdict is not Verdict.PASSED or wave.tail:
        return verdict, sentence
    said, decision = judge_agreement(shadow, board.facts.agreement, wave=wave.index, name=wave.name)
    board.decisions.append(decision)
    return said, decision.sentence


def end_with_the_tail(board: Board, wave: Wave) -> None:
    """Who is away when the time is over is offered nothing more."""
    if wave.tail and holds(board):
        way_back.withdraw_open(board, "its time is over")
