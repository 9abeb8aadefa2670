"""Keeps how long each device is usually away (rollouts 3.4); the sums are in core.habit.

A device whose connection holds, or that reports every minute, costs no write: only the end of a gap does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_server.core.habit import SHORTEST_S, Habit
from limosa_server.store import Transaction
from limosa_server.store.among import among
from limosa_server.store.rounds import in_rounds
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import Device
from limosa_server.tables.habits import DeviceHabit


def note(tx: Transaction, devices: Collection[str], *, now: float) -> int:
    """Call it with devices that gave a sign, before their `last_seen` is moved on; how many habits were
    written. While its connection holds, a device is there."""
    rows = tx.execute(
        select_columns(col(Device.id), col(Device.last_seen)).where(
            among(tx, col(Device.id), devices),
            col(Device.online).is_(False),
            col(Device.last_seen) <= now - SHORTEST_S,
        )
    ).all()
    ended = {device: now - last_seen for device, last_seen in rows}
    if not ended:
        return 0
    known = habits_of(tx, list(ended))
    written: list[dict[str, object]] = []
    for device, gap_s in sorted(ended.items()):
        before = known.get(device) or Habit(observed_to=now - gap_s)
        after = before.seen(gap_s=gap_s, now=now)
        written.append({"device": device, "observed_to": now, "spans_s": list(after.spans_s)})
    statement = insert(tx, DeviceHabit)
    new = statement.excluded
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["device"],
            set_={"observed_to": new["observed_to"], "spans_s": new["spans_s"]},
        ),
        written,
    )
    return len(written)


def habits_of(tx: Transaction, devices: Sequence[str]) -> Mapping[str, Habit]:
    """Of those that have one yet."""
    found: dict[str, Habit] = {}
    for some in in_rounds(devices):
        for row in tx.exec(select(DeviceHabit).where(col(DeviceHabit.device).in_(some))).all():
            found[row.device] = Habit.of(row.observed_to, row.spans_s)
    return found


def usual_gaps(tx: Transaction, devices: Iterable[str]) -> Mapping[str, float]:
    """Seconds that each is as good as never away for longer, where that is known."""
    found = habits_of(tx, sorted(devices))
    usual = ((device, habit.usual_gap_s) for device, habit in found.items())
    return {device: gap for device, gap in usual if gap is not None}
