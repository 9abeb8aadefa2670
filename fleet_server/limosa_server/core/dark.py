"""Devices that switched and were not heard of since, at the end of a wave (rollouts 3.2, 3.4). Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from limosa_contracts.rollout.abort import AbortRule, Failure
from limosa_server.core.board import Board
from limosa_server.core.judging import gate
from limosa_server.core.judging.gate import Fired
from limosa_server.core.wave import Wave

SILENT: Final = AbortRule(failure=Failure.SILENT)
"""For a file that has no rule about silence."""


def went_dark(board: Board, wave: Wave) -> Fired | None:
    """Why a wave is not through, although nobody is left in it who can be reached: a release that kills
    devices leaves only those that it did not kill, and of those all have succeeded.

    No minimum of devices here: more will not come. Where there are controls, these tell.
    """
    silent = board.silent(wave.index)
    if not silent or (wave.compares and wave.counts.executed) or board.accepted(Failure.SILENT):
        return None
    rules = board.rollout.spec.abort
    place = next((i for i, rule in enumerate(rules) if rule.failure is Failure.SILENT), len(rules))
    rule = rules[place] if place < len(rules) else SILENT
    return gate.evaluate(
        replace(rule, min_executed=1),
        place,
        wave.counts,
        silent=silent,
        group=board.totals.total,
        scope=f"wave {wave.name}",
    )
