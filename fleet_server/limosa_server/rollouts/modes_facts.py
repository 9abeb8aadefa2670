"""What a tick reads for rollouts that hold two releases, and what it clears away after them (rollouts 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Float, cast, func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_server.core.modes.agreement import NOTHING, Moments, Seen
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.rollouts import shadow_lane
from limosa_server.store import Store, Transaction
from limosa_server.tables.modes import ShadowCountRow
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, WaveRow
from limosa_server.trust.director import Director

THROUGH: Final = "through"  # the kind of the decision that a wave is
CLEARED_PER_TICK: Final = 200  # challengers of ended rollouts; each costs a signature


def agreement(tx: Transaction, rollout: Rollout, waves: Sequence[Wave], *, now: float) -> Moments:
    """What the devices of the wave have compared; only where it decides: in a shadow, when the wave has
    baked."""
    wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
    if rollout.spec.modes.shadow is None or rollout.status is not RolloutStatus.RUNNING or wave is None:
        return NOTHING
    baked = wave.status is WaveStatus.BAKING and now - wave.since >= wave.bake_s
    return moments(tx, rollout, wave=wave.index) if baked or wave.status is WaveStatus.ANALYZING else NOTHING


def moments(tx: Transaction, rollout: Rollout, *, wave: int | None = None) -> Moments:
    """Of one wave, or of all; added up by the database."""
    c, d = cast(col(ShadowCountRow.compared), Float), cast(col(ShadowCountRow.disagreed), Float)
    query = select_columns(
        func.count(),
        func.sum(c),  # as doubles: what liars count beyond 63 bits is an error of whole numbers' sums
        func.sum(d),
        func.sum(d * d),
        func.sum(d * c),
        func.sum(c * c),
    ).where(col(ShadowCountRow.rollout) == rollout.id, col(ShadowCountRow.compared) > 0)
    if wave is not None:
        query = query.join(
            ExecutionRow,
            (col(ExecutionRow.device) == col(ShadowCountRow.device))
            & (col(ExecutionRow.rollout) == col(ShadowCountRow.rollout)),
        ).where(col(ExecutionRow.wave) == wave)
    devices, rows, other, dd, dc, cc = tx.execute(query).one()
    if not devices:
        return NOTHING
    return Moments(devices=devices, rows=int(rows), disagreed=int(other), dd=dd, dc=dc, cc=cc)


def worst(tx: Transaction, rollout: Rollout, *, limit: int) -> tuple[Seen, ...]:
    """Devices whose challenger disagrees in the largest share of their rows."""
    share = cast(col(ShadowCountRow.disagreed), Float) / cast(col(ShadowCountRow.compared), Float)
    rows = tx.execute(
        select_columns(
            col(ShadowCountRow.device), col(ShadowCountRow.compared), col(ShadowCountRow.disagreed)
        )
        .where(col(ShadowCountRow.rollout) == rollout.id, col(ShadowCountRow.disagreed) > 0)
        .order_by(share.desc(), col(ShadowCountRow.device))
        .limit(limit)
    ).all()
    return tuple(Seen(device=device, compared=c, disagreed=d) for device, c, d in rows)


def held_since(tx: Transaction, rollout: int) -> float | None:
    """Since when every wave but the tail is through, so that both releases are held; None before."""
    last = select(func.max(WaveRow.index)).where(WaveRow.rollout == rollout, col(WaveRow.tail).is_(False))
    return tx.exec(
        select(DecisionRow.at)
        .where(
            DecisionRow.rollout == rollout,
            DecisionRow.kind == THROUGH,
            DecisionRow.wave == last.scalar_subquery(),
        )
        .order_by(col(DecisionRow.id))
    ).first()


def clear_away(store: Store, director: Director, *, now: float) -> int:
    """Tells devices to drop the challengers of rollouts that have ended, however they did; how many."""
    with store.read() as tx:
        some = bool(shadow_lane.left_behind(tx, limit=1))
    if not some:
        return 0
    with store.transaction() as tx:
        rows = shadow_lane.left_behind(tx, limit=CLEARED_PER_TICK)
        for row in rows:
            tx.delete(row)
        tx.flush()
        director.issue_many(tx, {row.device for row in rows}, now=now)
        return len(rows)
