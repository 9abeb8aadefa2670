"""Looks at a wave while it bakes: when one is due, and what its verdict does to the wave (rollouts 5.5)."""

from __future__ import annotations

from dataclasses import replace

from limosa_contracts.rollout.analysis import OnInconclusive
from limosa_server.core.board import Board
from limosa_server.core.judging.compare import compare
from limosa_server.core.judging.judge import Verdict
from limosa_server.core.judging.spending import Look, wave_share
from limosa_server.core.rollout import Rollout
from limosa_server.core.wave import Wave, WaveStatus


def due_look(rollout: Rollout, wave: Wave, *, waves: int, now: float) -> Look | None:
    """The look that is due now, None for none. `waves`: of the rollout, without the tail.

    One that was missed, in a pause or while the server was down, is left out: that costs no certainty.
    """
    if not wave.compares or wave.status is not WaveStatus.BAKING:
        return None
    of = rollout.spec.analysis[0].looks
    may_extend = rollout.spec.on_inconclusive is OnInconclusive.EXTEND
    baked_s = now - wave.since
    share = wave_share(wave.index, waves)
    if wave.extended:
        if wave.looks > of or baked_s < wave.bakes_s:
            return None
        return Look(number=of, of=of, extension=True, may_extend=may_extend, wave_share=share)
    number = min(of, int(of * baked_s / wave.bake_s + 1e-9)) if wave.bake_s > 0 else of
    if number <= wave.looks:
        return None
    return Look(number=number, of=of, may_extend=may_extend, wave_share=share)


def look(board: Board, wave: Wave) -> Verdict | None:
    """What the look found, where one was due and its numbers were read; None: the bake goes on."""
    inputs = board.facts.comparison
    due = due_look(board.rollout, wave, waves=board.compared_waves, now=board.now)
    if due is None or inputs is None or inputs.look != due:
        return None
    judged = compare(inputs, wave=wave.index)
    board.decisions.append(judged.decision)
    taken = replace(board.waves[wave.index], looks=due.of + 1 if due.extension else due.number)
    board.waves[wave.index] = taken
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return judged.verdict
    if not due.last:
        board.say(judged.decision.sentence)
        return None
    if due.may_extend and not due.extension and judged.helps_to_wait:
        board.waves[wave.index] = replace(taken, extended=True)
        board.say(f"{judged.decision.sentence}; it bakes as long again")
        return None
    return Verdict.INCONCLUSIVE
