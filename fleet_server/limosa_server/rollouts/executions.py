"""Saves one execution outside of the controller's tick: its row, the counters of its wave, and that it is
due, so that the next tick looks at it and at nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlmodel import col, select

from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.tally import counted, net
from limosa_server.core.wave import Wave
from limosa_server.rollouts.rollout_rows import (
    CHANGING,
    changing_values,
    wave_of,
    write_execution,
    write_wave,
)
from limosa_server.store import Transaction
from limosa_server.store.bulk import Insert, Update
from limosa_server.tables.rollouts import ExecutionRow, WaveRow

_KEY: Final = ("rollout", "device")
_QUEUED: Final = ("device", "wave", "size_bytes", "due_at", "away")
CONTROLLER: Final = "controller"
"""Announced when the controller has something new to look at."""
Change: TypeAlias = tuple[int, DeviceExecution, DeviceExecution]
"""(rollout, before, after)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """Executions that wait, as rows without the number of their rollout, which is not known before it is
    written: a hundred thousand are laid out while nobody waits. `same`: what all have alike."""

    rows: Sequence[tuple[Any, ...]]
    same: Mapping[str, Any]


def queued(
    waves: Sequence[Sequence[str]],
    *,
    sizes: Mapping[str, int],
    away: Collection[str] = (),
    now: float,
    look_within_s: float,
) -> Queued:
    """Devices that wait, by the index of their wave. They are due in turn over the next `look_within_s`
    seconds, so that a large fleet is not looked at all at once."""
    rows = []
    for index, devices in enumerate(waves):
        apart = look_within_s / max(1, len(devices))
        rows += [
            (device, index, sizes.get(device, 0), now + place * apart, device in away)
            for place, device in enumerate(devices)
        ]
    # In the order of the table's key: each index is then written from its end, and not all over.
    rows.sort()
    blank = DeviceExecution(device="", wave=0, since=now, clock_from=now)
    values = dict(zip(CHANGING, changing_values(blank), strict=True))
    same = {name: value for name, value in values.items() if name not in _QUEUED}
    return Queued(rows=rows, same=same)


def queue(tx: Transaction, rollout: int, waiting: Queued) -> None:
    """Inserted in one statement; counters are the caller's."""
    Insert.of(tx, ExecutionRow, _QUEUED, {"rollout": rollout, **waiting.same}).put(tx, waiting.rows)


def save(tx: Transaction, row: ExecutionRow, before: DeviceExecution, after: DeviceExecution) -> bool:
    """Whether it changed. `row` is that of `before`."""
    if before == after:
        return False
    write_execution(row, after)
    row.due_at = 0.0 if looked_at(after) else None
    tx.add(row)
    move_counts(tx, row.rollout, before, after)
    tx.announce(CONTROLLER, f"rollout {row.rollout}")
    return True


def save_many(tx: Transaction, changes: Iterable[Change]) -> int:
    """The same for many, each execution once, in a number of statements that does not grow with them; how
    many changed. Rows of the ORM that were read before do not show it."""
    changed = [(rollout, before, after) for rollout, before, after in changes if before != after]
    if not changed:
        return 0
    write_many(tx, [(rollout, after, 0.0 if looked_at(after) else None) for rollout, _, after in changed])
    _move_all(tx, changed)
    tx.announce(CONTROLLER, *(f"rollout {rollout}" for rollout in {one[0] for one in changed}))
    return len(changed)


def write_many(tx: Transaction, rows: Sequence[tuple[int, DeviceExecution, float | None]]) -> None:
    """(rollout, execution, when it is due) of each; counters are the caller's."""
    Update.of(tx, ExecutionRow, (*_KEY, "due_at", *CHANGING), key=_KEY).put(
        tx, [(rollout, run.device, due, *changing_values(run)) for rollout, run, due in rows]
    )


def write_due(tx: Transaction, rows: Sequence[tuple[int, str, float | None]]) -> None:
    """(rollout, device, when the controller looks at it again)."""
    Update.of(tx, ExecutionRow, (*_KEY, "due_at"), key=_KEY).put(tx, rows)


def looked_at(run: DeviceExecution) -> bool:
    """Whether the controller has anything left to wait for."""
    return not run.state.terminal or run.returning is Return.SENT


def move_counts(tx: Transaction, rollout: int, before: DeviceExecution, after: DeviceExecution) -> None:
    """Counters are moved, not counted (rollouts 3.6)."""
    for run, n in ((before, -1), (after, 1)):
        row = tx.get(WaveRow, (rollout, run.wave))
        assert row is not None
        wave = wave_of(row)
        moved: Wave = counted(wave, run, n)
        if moved != wave:
            write_wave(row, moved)
            tx.add(row)


def _move_all(tx: Transaction, changed: Sequence[Change]) -> None:
    numbers = sorted({rollout for rollout, _, _ in changed})
    rows = {
        (row.rollout, row.index): row
        for row in tx.exec(select(WaveRow).where(col(WaveRow.rollout).in_(numbers))).all()
    }
    for number in numbers:
        for run, n in net((before, after) for rollout, before, after in changed if rollout == number):
            row = rows[number, run.wave]
            write_wave(row, counted(wave_of(row), run, n))
            tx.add(row)
