"""Of two rollouts of a model the one of higher rank has the devices that are in both (rollouts 2).

Rank is (priority, number): without priorities the newer one. It counts from the moment a rollout starts;
one that waits for its approval or its time takes nothing from anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.execution import DeviceExecution, ExecutionEvent, Return
from limosa_server.core.rollout import Rollout, RolloutStatus, lane_of
from limosa_server.rollouts.executions import Change, save_many
from limosa_server.rollouts.rollout_rows import EXECUTION_COLUMNS, OPEN, execution_of
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

_S: Final = RolloutStatus
WAITING: Final = (_S.VALIDATING, _S.WAITING_FOR_APPROVAL, _S.SCHEDULED)
STARTED: Final = tuple(status.value for status in (_S.RUNNING, _S.PAUSED, _S.ROLLING_BACK))
LOSING: Final = (
    *STARTED,
    *(status.value for status in (*WAITING, _S.DRAFT, _S.CANCELING, _S.COMPLETED)),
)
_HOLDING: Final = (*OPEN, *(state.value for state in Execution if state.succeeded))


def take_over(tx: Transaction, rollout: Rollout, *, model: str, now: float) -> int:
    """Takes its devices out of rollouts of lower rank; how many. A completed one has no rank: its
    stragglers follow whoever starts."""
    mine = select(ExecutionRow.device).where(
        ExecutionRow.rollout == rollout.id, col(ExecutionRow.state).in_(OPEN)
    )
    tx.flush()
    older = tx.execute(
        select_columns(*EXECUTION_COLUMNS)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            col(RolloutRow.model) == model,
            col(RolloutRow.lane) == rollout.lane,  # a challenger beside takes nothing from what answers
            col(RolloutRow.id) != rollout.id,
            col(RolloutRow.status).in_(LOSING),
            col(ExecutionRow.device).in_(mine),
            col(ExecutionRow.state).in_(OPEN) | (col(ExecutionRow.returning) == Return.SENT.value),
        )
    ).all()
    _stop_following(tx, rollout, model=model)
    changes: list[Change] = []
    for row in older:
        other = tx.get_one(RolloutRow, row.rollout)
        assert other.id is not None
        if other.status != _S.COMPLETED.value and (other.priority, other.id) > rollout.rank:
            continue
        before = execution_of(row)
        after = _superseded(before, f"rollout {rollout.id} took it over", now)
        changes.append((other.id, before, after))
    save_many(tx, changes)
    return len(changes)


def _stop_following(tx: Transaction, rollout: Rollout, *, model: str) -> None:
    """A group is followed by one rollout of a model: those that followed it before complete."""
    if not rollout.spec.group:
        return
    others = tx.exec(
        select(RolloutRow).where(
            RolloutRow.model == model,
            RolloutRow.target == rollout.spec.target,
            col(RolloutRow.follows).is_(True),
            RolloutRow.id != rollout.id,
            col(RolloutRow.status).in_(STARTED),
        )
    ).all()
    for other in others:
        assert other.id is not None
        if (other.priority, other.id) < rollout.rank and other.lane == rollout.lane:
            other.follows = False
            tx.add(other)
            tx.announce(f"rollout {other.id}")


def held(
    tx: Transaction, rollout: Rollout, *, model: str, among: Sequence[str] | None = None
) -> dict[str, int]:
    """Devices of this rollout (or `among` these) which another one of higher rank has, with its number."""
    query = (
        select(ExecutionRow.device, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            RolloutRow.model == model,
            RolloutRow.id != rollout.id,
            col(RolloutRow.status).in_(STARTED),
            (col(RolloutRow.priority) > rollout.spec.priority)
            | ((col(RolloutRow.priority) == rollout.spec.priority) & (col(RolloutRow.id) > rollout.id)),
            col(ExecutionRow.state).in_(_HOLDING),
        )
    )
    mine = select(ExecutionRow.device).where(ExecutionRow.rollout == rollout.id)
    parts = [mine] if among is None else in_rounds(among)
    return {
        device: other.id
        for part in parts
        for device, other in tx.exec(query.where(col(ExecutionRow.device).in_(part))).all()
        if other.id is not None and other.lane == rollout.lane
    }


def held_above(tx: Transaction, spec: RolloutSpec, devices: Collection[str]) -> dict[int, int]:
    """Rollout -> how many of these devices it has and would keep, by its priority."""
    rows = tx.exec(
        select(RolloutRow.id, ExecutionRow.device)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            RolloutRow.model == str(spec.release.name),
            col(RolloutRow.lane) == lane_of(spec),
            col(RolloutRow.status).in_(STARTED),
            col(RolloutRow.priority) > spec.priority,
            col(ExecutionRow.state).in_(_HOLDING),
        )
    ).all()
    found = Counter(number for number, device in rows if number is not None and device in devices)
    return dict(sorted(found.items()))


def outranks(tx: Transaction, holder: str, rollout: Rollout) -> bool:
    """Whether the rollout that gave a device its assignment keeps this one from changing it."""
    other = tx.get(RolloutRow, int(holder)) if holder.isdigit() else None
    if other is None or other.id is None or other.id == rollout.id:
        return False
    if other.status in STARTED:
        return (other.priority, other.id) > rollout.rank
    return other.id > rollout.id and other.priority >= rollout.spec.priority


def _superseded(run: DeviceExecution, reason: str, now: float) -> DeviceExecution:
    ended = run.after(ExecutionEvent.SUPERSEDE, now=now, step="superseded", reason=reason)
    return replace(ended, returning=Return.NOT_NEEDED) if run.returning is Return.SENT else ended
