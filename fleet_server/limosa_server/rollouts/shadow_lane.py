"""Which challenger runs beside which model on which device: the rows behind mode "shadow" (rollouts 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_server.core.modes.eligible import Drawn
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.store import Transaction
from limosa_server.store.bulk import as_text
from limosa_server.tables.modes import DeviceKpiRow, ShadowAssignmentRow
from limosa_server.tables.rollouts import RolloutRow

ARM_COLUMNS: Final = ("device", "arm", "stratum", "version", "before")
ENDED: Final = tuple(status.value for status in RolloutStatus if status.terminal)


def put_beside(tx: Transaction, device: str, rollout: Rollout, *, attempt: int, now: float) -> None:
    """The rollout's release becomes the challenger; of two rollouts the newer one holds the lane."""
    model = str(rollout.spec.release.name)
    row = tx.get(ShadowAssignmentRow, (device, model))
    if row is not None and row.rollout > rollout.id:
        return
    row = row or ShadowAssignmentRow(
        device=device, model=model, version="", index_sha256="", rollout=0, updated_at=0.0
    )
    row.version, row.index_sha256 = str(rollout.spec.release.version), rollout.index_sha256
    row.rollout, row.attempt = rollout.id, attempt
    row.report_every_s = rollout.spec.report_every_s
    row.report_every_in_probation_s = rollout.spec.report_every_in_probation_s
    row.updated_at = now
    tx.add(row)


def take_away(tx: Transaction, device: str, rollout: Rollout) -> None:
    """What answers was never touched, so there is nothing to put in its place."""
    row = tx.get(ShadowAssignmentRow, (device, str(rollout.spec.release.name)))
    if row is not None and row.rollout == rollout.id:
        tx.delete(row)


def arm_rows(tx: Transaction, model: str, arms: Mapping[str, Drawn]) -> list[tuple[Any, ...]]:
    """Of a comparison that starts: a row of ARM_COLUMNS for each device that was drawn."""
    if not arms:
        return []
    before: dict[tuple[str, str], dict[str, list[float]]] = {}
    rows = tx.execute(
        select_columns(
            col(DeviceKpiRow.device),
            col(DeviceKpiRow.version),
            col(DeviceKpiRow.kpi),
            col(DeviceKpiRow.n),
            col(DeviceKpiRow.total),
        ).where(col(DeviceKpiRow.model) == model)
    ).all()
    for device, version, kpi, n, total in rows:
        before.setdefault((device, version), {})[kpi] = [n, total]
    return [
        (device, one.arm, one.stratum, one.version, as_text(before.get((device, one.version), {})))
        for device, one in sorted(arms.items())
    ]


def left_behind(tx: Transaction, *, limit: int) -> Sequence[ShadowAssignmentRow]:
    """Challengers of rollouts that have ended, however they did: their devices are told so."""
    return tx.exec(
        select(ShadowAssignmentRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ShadowAssignmentRow.rollout))
        .where(col(RolloutRow.status).in_(ENDED))
        .order_by(col(ShadowAssignmentRow.device), col(ShadowAssignmentRow.model))
        .limit(limit)
    ).all()
