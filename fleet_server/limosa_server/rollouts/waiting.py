"""Open rollouts that stand still: those that cannot be advanced, and those that wait for too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlmodel import col, select

from limosa_server.core.overdue import overdue
from limosa_server.core.rollout import RolloutStatus
from limosa_server.core.wave import Wave
from limosa_server.rollouts.rollout_rows import rollout_of, wave_of
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.rollouts import RolloutRow, WaveRow

_OPEN: Final = tuple(status.value for status in RolloutStatus if not status.terminal)


def standing_still(tx: Transaction, *, now: float) -> Iterator[tuple[RolloutRow, str]]:
    """(rollout, what is the matter with it), the oldest first: of all that are open, however old they are.

    Those that have done their work and only follow their group wait for nothing, and are not read.
    """
    follows = (col(RolloutRow.status) == RolloutStatus.RUNNING.value) & col(RolloutRow.settled).is_(True)
    numbers = tx.exec(
        select(RolloutRow.id)
        .where(
            col(RolloutRow.status).in_(_OPEN),
            ~follows | col(RolloutRow.failing_since).is_not(None),
        )
        .order_by(col(RolloutRow.id))
    ).all()
    for some in in_rounds(numbers):
        rows = select(RolloutRow).where(col(RolloutRow.id).in_(some)).order_by(col(RolloutRow.id))
        waves = _waves(tx, [number for number in some if number is not None])
        for row in tx.exec(rows):
            assert row.id is not None
            late = overdue(rollout_of(row), waves.get(row.id, []), now=now)
            if row.failing_since is not None:
                yield row, f"cannot be advanced: {row.failing_reason}"
            elif late:
                yield row, f"waits for too long: {late}"


def _waves(tx: Transaction, rollouts: list[int]) -> dict[int, list[Wave]]:
    found: dict[int, list[Wave]] = {}
    rows = select(WaveRow).where(col(WaveRow.rollout).in_(rollouts))
    for row in tx.exec(rows.order_by(col(WaveRow.rollout), col(WaveRow.index))):
        found.setdefault(row.rollout, []).append(wave_of(row))
    return found
