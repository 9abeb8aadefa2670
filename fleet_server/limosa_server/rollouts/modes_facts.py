"""What a tick reads for rollouts that hold two releases, and what it clears away after them (rollouts 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_server.core.modes.agreement import Seen
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.rollouts import shadow_lane
from limosa_server.store import Store, Transaction
from limosa_server.tables.modes import ShadowWindowRow
from limosa_server.tables.rollouts import ExecutionRow
from limosa_server.trust.director import Director

CLEARED_PER_TICK: Final = 200  # challengers of ended rollouts; each costs a signature


def agreement(tx: Transaction, rollout: Rollout, waves: Sequence[Wave], *, now: float) -> tuple[Seen, ...]:
    """What each device of the wave has compared since the rollout began; only where it decides: in a
    shadow, when the wave has baked."""
    wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
    if rollout.spec.modes.shadow is None or rollout.status is not RolloutStatus.RUNNING or wave is None:
        return ()
    if wave.status is WaveStatus.BAKING and now - wave.since >= wave.bake_s:
        return seen(tx, rollout, wave=wave.index)
    return seen(tx, rollout, wave=wave.index) if wave.status is WaveStatus.ANALYZING else ()


def seen(tx: Transaction, rollout: Rollout, *, wave: int | None = None) -> tuple[Seen, ...]:
    """By device; of one wave, or of all."""
    query = (
        select_columns(
            col(ShadowWindowRow.device),
            func.sum(col(ShadowWindowRow.compared)),
            func.sum(col(ShadowWindowRow.disagreed)),
        )
        .join(ExecutionRow, col(ExecutionRow.device) == col(ShadowWindowRow.device))
        .where(
            col(ExecutionRow.rollout) == rollout.id,
            col(ExecutionRow.offered_at).is_not(None),
            col(ShadowWindowRow.received_at) >= col(ExecutionRow.offered_at),
            col(ShadowWindowRow.model) == str(rollout.spec.release.name),
            col(ShadowWindowRow.version) == rollout.spec.release.version,
        )
        .group_by(col(ShadowWindowRow.device))
        .order_by(col(ShadowWindowRow.device))
    )
    if wave is not None:
        query = query.where(col(ExecutionRow.wave) == wave)
    return tuple(
        Seen(device=device, compared=int(rows), disagreed=int(other))
        for device, rows, other in tx.execute(query).all()
    )


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
        for device in sorted({row.device for row in rows}):
            director.issue(tx, device, now=now)
        return len(rows)
