"""Devices that join or leave the group of a rollout that follows it (rollouts 3.5, 3.6).

Looked at when the group's revision has changed, and then only at who came or went. Who joins comes in
through the tail, gated and rate-limited as everybody in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import exists, insert
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Execution
from limosa_server.core import tally
from limosa_server.core.execution import DeviceExecution, ExecutionEvent
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wording import devices as devices_in_words
from limosa_server.rollouts import rollout_plan
from limosa_server.rollouts.executions import save
from limosa_server.rollouts.rollout_rows import decision_row, execution_of, rollout_of, wave_of, write_wave
from limosa_server.rollouts.taking_over import held, take_over
from limosa_server.store import Transaction
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow

LEFT: Final = "left_the_group"
JOINED: Final = "joined"
NAMED_MAX: Final = 100  # devices that a record names
FOLLOWING: Final = (RolloutStatus.RUNNING.value, RolloutStatus.PAUSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Who came in, who is left out and why, who went before being offered anything."""

    taken: Sequence[str] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    gone: int = 0

    @property
    def named_out(self) -> dict[str, str]:
        return dict(sorted(self.left_out.items())[:NAMED_MAX])

    @property
    def sentence(self) -> str:
        said = [f"{devices_in_words(len(self.taken))} joined its group"] if self.taken else []
        for why, count in sorted(Counter(self.left_out.values()).items()):
            said.append(f"{count} more left out: {why}")
        if self.gone:
            said.append(f"{self.gone} left it")
        return "; ".join(said)


def follow(tx: Transaction, row: RolloutRow, *, now: float) -> Joined:
    """Call it before each tick of a rollout; does nothing while its group is as it was."""
    if not row.follows or row.status not in FOLLOWING:
        return Joined()
    rollout = rollout_of(row)
    group = tx.get(Group, rollout.spec.group)
    if group is None or group.revision == row.group_revision:
        return Joined()
    row.group_revision = group.revision
    tail = tx.exec(select(WaveRow).where(WaveRow.rollout == rollout.id, col(WaveRow.tail).is_(True))).one()
    gone = _remove(tx, rollout, now=now)
    back = _come_again(tx, rollout)
    new = _new_members(tx, rollout, since=row.created_at)
    taken, left_out = _judged(tx, row, rollout, [*back, *new], now=now)
    again = [name for name in back if name in taken]
    _queue_again(tx, [back[name] for name in again], tail.index, now=now)
    _insert(tx, rollout, tail, {name: taken[name] for name in new if name in taken}, now=now)
    joined = Joined(taken=list(taken), left_out=left_out, gone=gone)
    if joined.taken:
        take_over(tx, rollout, model=row.model, now=now)
    moved = joined.taken or joined.gone
    if moved or (joined.left_out and joined.named_out != _last_left_out(tx, row)):
        _note(tx, row, joined, now=now)
    return joined


def _new_members(tx: Transaction, rollout: Rollout, *, since: float) -> Sequence[str]:
    """Members who came after the rollout was made, and have no execution in it."""
    known = exists().where(
        col(ExecutionRow.rollout) == rollout.id, col(ExecutionRow.device) == col(Membership.device)
    )
    return tx.exec(
        select(Membership.device)
        .where(Membership.group == rollout.spec.group, col(Membership.since) >= since, ~known)
        .order_by(col(Membership.device))
    ).all()


def _judged(
    tx: Transaction, row: RolloutRow, rollout: Rollout, names: Sequence[str], *, now: float
) -> tuple[dict[str, int], dict[str, str]]:
    """(bytes that each would fetch, why others are left out): as a plan would judge them."""
    if not names:
        return {}, {}
    planned = rollout_plan.make(tx, rollout.spec, salt=row.salt, now=now, only=names).plan
    left_out = {device: str(one) for device, one in planned.excluded.items()}
    for device, other in held(tx, rollout, model=row.model, among=names).items():
        left_out[device] = f"rollout {other} has it"
    return {name: planned.sizes[name] for name in names if name not in left_out}, left_out


def _insert(
    tx: Transaction, rollout: Rollout, tail: WaveRow, taken: Mapping[str, int], *, now: float
) -> None:
    if not taken:
        return
    new = DeviceExecution(device="", wave=tail.index, since=now, clock_from=now)
    rows = [
        ExecutionRow(
            rollout=rollout.id,
            device=device,
            wave=tail.index,
            state=new.state.value,
            step=new.step,
            since=now,
            clock_from=now,
            due_at=now,
            size_bytes=size_bytes,
        ).model_dump()
        for device, size_bytes in taken.items()
    ]
    tx.execute(insert(ExecutionRow), rows)
    write_wave(tail, tally.counted(wave_of(tail), new, len(rows)))
    tx.add(tail)
    tx.flush()


def _remove(tx: Transaction, rollout: Rollout, *, now: float) -> int:
    """Those that have left the group before their turn; who was offered the release keeps it."""
    member = exists().where(
        col(Membership.group) == rollout.spec.group, col(Membership.device) == col(ExecutionRow.device)
    )
    rows = tx.exec(
        select(ExecutionRow).where(
            ExecutionRow.rollout == rollout.id,
            ExecutionRow.state == Execution.QUEUED.value,
            col(ExecutionRow.offered_at).is_(None),
            ~member,
        )
    ).all()
    for row in rows:
        before = execution_of(row)
        after = before.after(ExecutionEvent.REMOVE, now=now, step=LEFT, reason="it left the group")
        save(tx, row, before, after)
    return len(rows)


def _come_again(tx: Transaction, rollout: Rollout) -> dict[str, ExecutionRow]:
    """Those that had left before their turn and are back, by device. Much may have become of them since,
    so that they are judged as who is new: a pin, another rollout, a release that they have quarantined."""
    rows = tx.exec(
        select(ExecutionRow)
        .join(
            Membership,
            (col(Membership.device) == col(ExecutionRow.device))
            & (col(Membership.group) == rollout.spec.group),
        )
        .where(
            ExecutionRow.rollout == rollout.id,
            ExecutionRow.state == Execution.REMOVED.value,
            ExecutionRow.step == LEFT,
        )
        .order_by(col(ExecutionRow.device))
    ).all()
    return {row.device: row for row in rows}


def _queue_again(tx: Transaction, rows: Sequence[ExecutionRow], tail: int, *, now: float) -> None:
    """A new attempt of each, in the tail."""
    for row in rows:
        before = execution_of(row)
        after = replace(
            before,
            state=Execution.QUEUED,
            step="queued",
            reason="it is in the group again",
            wave=tail,
            attempt=before.attempt + 1,
            since=now,
            clock_from=now,
        )
        save(tx, row, before, after)


def _last_left_out(tx: Transaction, row: RolloutRow) -> dict[str, str]:
    """As it was noted last: whoever stays left out is not told of with each change of the group."""
    last = tx.exec(
        select(DecisionRow)
        .where(DecisionRow.rollout == row.id, DecisionRow.kind == JOINED)
        .order_by(col(DecisionRow.id).desc())
        .limit(1)
    ).first()
    return dict(last.numbers.get("left_out", {})) if last is not None else {}


def _note(tx: Transaction, row: RolloutRow, joined: Joined, *, now: float) -> None:
    assert row.id is not None
    numbers: dict[str, JsonValue] = {
        "joined": list(joined.taken[:NAMED_MAX]),
        "left_out": joined.named_out,
        "gone": joined.gone,
    }
    decision = Decision(kind=JOINED, verdict=row.status, sentence=joined.sentence, numbers=numbers)
    tx.add(decision_row(row.id, decision, at=now))
    tx.announce(f"rollout {row.id}")
