"""Retract: nobody is offered a release any more; who runs it is listed, the record stays (server 5)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import col, select

from limosa_contracts.errors import Conflict
from limosa_contracts.names import ReleaseName
from limosa_server.access import audit
from limosa_server.core import operate
from limosa_server.core.rollout import RolloutStatus
from limosa_server.registry import release_rows, running
from limosa_server.rollouts.executions import CONTROLLER
from limosa_server.rollouts.rollout_rows import decision_row, rollout_of, write_rollout
from limosa_server.store import Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow

_OPEN = tuple(status.value for status in RolloutStatus if not status.terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    row: Release
    devices: int  # that run it now
    canceled: tuple[int, ...]  # rollouts of it that this ended
    going_on: tuple[int, ...]  # open ones that are on their way back or out already


def retract(
    tx: Transaction, name: ReleaseName, *, at: float, actor: str, by: str, reason: str, rollback: bool
) -> Retracted:
    """Ends every open rollout of it in the same transaction; `rollback`: their devices go back too.

    Raises NotFound, Conflict where it was retracted before.
    """
    row = release_rows.find(tx, name)
    if row.retracted_at is not None:
        raise Conflict(f"{name} was retracted before", why=f"by {row.retracted_by}: {row.retract_reason}")
    row.retracted_at, row.retracted_by, row.retract_reason = at, by, reason
    tx.add(row)
    canceled, going_on = _end_rollouts(tx, row, at=at, by=by, reason=reason, rollback=rollback)
    release_rows.note(tx, row, "retracted", at=at, by=actor, reason=reason)
    devices = running.counts(tx, [row.index_sha256]).get(row.index_sha256, 0)
    audit.record(
        tx, at=at, actor=actor, action="release.retract", object=f"release {name}",
        after={
            "reason": reason, "rollback": rollback, "devices": devices,
            "rollouts_canceled": list(canceled),
        },
    )  # fmt: skip
    tx.announce("releases", "rollouts", CONTROLLER)
    return Retracted(row=row, devices=devices, canceled=canceled, going_on=going_on)


def _end_rollouts(
    tx: Transaction, row: Release, *, at: float, by: str, reason: str, rollback: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows = tx.exec(
        select(RolloutRow)
        .where(RolloutRow.index_sha256 == row.index_sha256, col(RolloutRow.status).in_(_OPEN))
        .order_by(col(RolloutRow.id))
    ).all()
    canceled: list[int] = []
    going_on: list[int] = []
    for one in rows:
        assert one.id is not None
        rollout = rollout_of(one)
        if not rollout.status.allows.cancel:
            going_on.append(one.id)
            continue
        began = rollout.status in (RolloutStatus.RUNNING, RolloutStatus.PAUSED)
        ended, decision = operate.cancel(
            rollout, now=at, by=by, rollback=rollback and began, remark=f"the release was retracted: {reason}"
        )
        write_rollout(one, ended)
        tx.add(one)
        tx.add(decision_row(one.id, decision, at=at))
        tx.announce(f"rollout {one.id}")
        canceled.append(one.id)
    return tuple(canceled), tuple(going_on)
