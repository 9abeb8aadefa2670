"""A rollout as a ladder: one rung per wave, each with a bar, words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from limosa_contracts.phases import Execution
from limosa_server.core.counts import Counts
from limosa_server.core.wave import Wave
from limosa_server.pages.bars import Part

_PROGRESS = (Execution.NOTIFIED, Execution.IN_PROGRESS)
_LEFT_OUT = (Execution.CANCELED, Execution.REMOVED, Execution.SUPERSEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    wave: Wave
    parts: tuple[Part, ...]
    away: int  # open executions of devices that cannot be reached

    @property
    def shown(self) -> bool:
        """The tail is there from the start; it is shown when somebody is in it."""
        return not self.wave.tail or self.wave.counts.total > 0


def rungs(waves: Sequence[Wave], away: Mapping[tuple[int, Execution], int]) -> tuple[Rung, ...]:
    """`away`: how many open executions of (wave, state) belong to devices that cannot be reached."""
    return tuple(
        _rung(wave, {state: n for (index, state), n in away.items() if index == wave.index}) for wave in waves
    )


def _rung(wave: Wave, away: Mapping[Execution, int]) -> Rung:
    return Rung(wave=wave, parts=parts_of(wave.counts, away), away=sum(away.values()))


def parts_of(counts: Counts, away: Mapping[Execution, int]) -> tuple[Part, ...]:
    """Every device once, worst in the middle where the eye is: done, failed, …, waiting.

    >>> counts = Counts({Execution.SUCCEEDED: 3, Execution.ROLLED_BACK: 1, Execution.QUEUED: 2})
    >>> [(part.word, part.count) for part in parts_of(counts, {Execution.QUEUED: 1}) if part.count]
    [('done', 3), ('failed', 1), ('unreachable', 1), ('waiting', 1)]
    """
    gone = sum(away.values())
    progress = counts.of(*_PROGRESS) - sum(away.get(state, 0) for state in _PROGRESS)
    waiting = counts.of(Execution.QUEUED) - away.get(Execution.QUEUED, 0)
    return (
        Part("done", "done", "✔", counts.succeeded),
        Part("failed", "failed", "✘", counts.failed),
        Part("progress", "in progress", "▶", max(0, progress)),
        Part("away", "unreachable", "○", gone),
        Part("waiting", "waiting", "·", max(0, waiting)),
        Part("left", "left out", "−", counts.of(*_LEFT_OUT)),
    )


def together(ladder: Iterable[Rung]) -> tuple[Part, ...]:
    """The parts of all rungs, added up."""
    columns = zip(*(rung.parts for rung in ladder), strict=True)
    return tuple(
        Part(column[0].kind, column[0].word, column[0].mark, sum(part.count for part in column))
        for column in columns
    )
