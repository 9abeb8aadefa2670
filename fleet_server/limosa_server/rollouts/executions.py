"""Saves one execution outside of the controller's tick: its row, the counters of its wave, and that it is
due, so that the next tick looks at it and at nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from limosa_contracts.phases import Execution
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.tally import counted
from limosa_server.core.wave import Wave
from limosa_server.rollouts.rollout_rows import wave_of, write_execution, write_wave
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import ExecutionRow, WaveRow

CONTROLLER: Final = "controller"
"""Announced when the controller has something new to look at."""


@cache
def _blank() -> dict[str, Any]:
    return ExecutionRow(
        rollout=0, device="", wave=0, state=Execution.QUEUED.value, step="queued", since=0.0
    ).model_dump()


def queued_rows(
    rollout: int,
    wave: int,
    devices: Sequence[str],
    *,
    sizes: Mapping[str, int],
    away: Collection[str] = (),
    now: float,
    look_within_s: float,
) -> list[dict[str, Any]]:
    """Rows of devices that wait in a wave, to be inserted in one statement. They are due in turn over the
    next `look_within_s` seconds, so that a large fleet is not looked at all at once."""
    apart = look_within_s / max(1, len(devices))
    return [
        {
            **_blank(),
            "rollout": rollout,
            "device": device,
            "wave": wave,
            "since": now,
            "clock_from": now,
            "size_bytes": sizes.get(device, 0),
            "away": device in away,
            "due_at": now + place * apart,
        }
        for place, device in enumerate(devices)
    ]


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
