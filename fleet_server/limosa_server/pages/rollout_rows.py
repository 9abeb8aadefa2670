"""What the pages read about rollouts; the counters are kept, so nothing here counts a fleet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.approval import Vote
from limosa_server.core.judging.explain import what_next
from limosa_server.core.overdue import overdue
from limosa_server.core.rollout import Allows, Rollout
from limosa_server.core.wave import Wave
from limosa_server.pages.bars import Part
from limosa_server.pages.ladder import Rung, rungs, together
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.words import EXECUTION
from limosa_server.rollouts.rollout_rows import OPEN, rollout_of, wave_of
from limosa_server.rollouts.rollout_view import etag_of
from limosa_server.store import Transaction
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow

_NOTABLE = tuple(
    state.value for state in Execution if state.failed or state in (Execution.NOTIFIED, Execution.IN_PROGRESS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    row: RolloutRow
    rollout: Rollout
    ladder: tuple[Rung, ...]
    parts: tuple[Part, ...]
    next: str
    etag: str
    votes: tuple[Vote, ...] = ()  # of one that asks people
    waits_too_long: str = ""

    @property
    def allows(self) -> Allows:
        return self.rollout.status.allows

    @property
    def total(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def current(self) -> Rung | None:
        """The wave that is under way, or the one that it stopped at."""
        return next((rung for rung in self.ladder if rung.wave.status.value != "SUCCEEDED"), None)


def views(tx: Transaction, rows: Sequence[RolloutRow], *, now: float) -> list[RolloutView]:
    """In the order of `rows`, with one query for all of their waves."""
    numbers = [row.id for row in rows if row.id is not None]
    waves: dict[int, list[WaveRow]] = {}
    for wave in tx.exec(
        select(WaveRow)
        .where(col(WaveRow.rollout).in_(numbers))
        .order_by(col(WaveRow.rollout), col(WaveRow.index))
    ):
        waves.setdefault(wave.rollout, []).append(wave)
    return [_view(row, waves.get(row.id or 0, []), now=now) for row in rows]


def _view(row: RolloutRow, wave_rows: Sequence[WaveRow], *, now: float) -> RolloutView:
    waves = [wave_of(one) for one in wave_rows]
    ladder = rungs(waves, _away(waves))
    rollout = rollout_of(row)
    return RolloutView(
        row=row,
        rollout=rollout,
        ladder=ladder,
        parts=together(ladder),
        next=what_next(rollout, waves, now=now),
        etag=etag_of(row),
        waits_too_long=overdue(rollout, waves, now=now),
    )


def _away(waves: Sequence[Wave]) -> dict[tuple[int, Execution], int]:
    """From the kept counters: (wave, state) -> open executions of devices that cannot be reached."""
    return {(wave.index, state): n for wave in waves for state, n in wave.away.by_state.items()}


def executions(
    tx: Transaction, rollout: int, *, state: str, wave: int | None, after: str
) -> tuple[list[ExecutionRow], bool]:
    """(rows, whether there are more).

    `state` "" gives the devices that failed or are under way, trouble first; "all" every device in that
    order; any other those of one state by name, after the device `after`.
    """
    query = select(ExecutionRow).where(ExecutionRow.rollout == rollout)
    if wave is not None:
        query = query.where(ExecutionRow.wave == wave)
    if state in ("", "all"):
        order = {name: place for place, name in enumerate(EXECUTION)}
        query = query.order_by(case(order, value=col(ExecutionRow.state), else_=len(order)))
        if not state:
            query = query.where(col(ExecutionRow.state).in_(_NOTABLE))
    elif state == "unreachable":
        query = query.where(col(ExecutionRow.away).is_(True), col(ExecutionRow.state).in_(OPEN))
        query = query.where(ExecutionRow.device > after)
    else:
        query = query.where(ExecutionRow.state == state, ExecutionRow.device > after)
    rows = tx.exec(query.order_by(col(ExecutionRow.device)).limit(LIMITS.rows_max + 1)).all()
    return list(rows[: LIMITS.rows_max]), len(rows) > LIMITS.rows_max


def way_back(view: RolloutView) -> list[tuple[str, int]]:
    """(where on the way back, devices); none where nobody was told to go back."""
    found: Counter[str] = Counter()
    for rung in view.ladder:
        found.update(rung.wave.way_back)
    return sorted(found.items())


def finding(tx: Transaction, rollout: int) -> FindingRow | None:
    """What its failures have in common."""
    return tx.get(FindingRow, rollout)


def decisions(tx: Transaction, rollout: int) -> list[DecisionRow]:
    """The newest first."""
    query = select(DecisionRow).where(DecisionRow.rollout == rollout).order_by(col(DecisionRow.id).desc())
    return list(tx.exec(query.limit(LIMITS.rows_max)).all())
