"""Keeps a wave's counters in step with its executions (rollouts 3.6): moved with each, never counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from limosa_server.core.changing import changed
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.wave import Wave


def counted(wave: Wave, run: DeviceExecution, n: int) -> Wave:
    """The wave with `n` more executions like this one (-1: one less)."""
    away = run.away and not run.state.terminal
    return changed(
        wave,
        counts=wave.counts.plus(run.state, n),
        away=wave.away.plus(run.state, n) if away else wave.away,
        silent=wave.silent + (n if away and run.silent else 0),
        way_back=_plus(wave.way_back, run.returning, n),
    )


def net(
    changes: Iterable[tuple[DeviceExecution, DeviceExecution]],
) -> list[tuple[DeviceExecution, int]]:
    """Of many changes (before, after): one execution of each kind that counters tell apart, and how many
    more of it there are; for `counted`."""
    kinds: dict[tuple[object, ...], DeviceExecution] = {}
    numbers: Counter[tuple[object, ...]] = Counter()
    for pair in changes:
        for run, n in zip(pair, (-1, 1), strict=True):
            key = _key(run)
            kinds.setdefault(key, run)
            numbers[key] += n
    return [(kinds[key], n) for key, n in numbers.items() if n]


def _key(run: DeviceExecution) -> tuple[object, ...]:
    return run.wave, run.state, run.away, run.silent, run.returning


def _plus(kept: dict[str, int], returning: Return, n: int) -> dict[str, int]:
    if returning is Return.NONE:
        return kept
    moved = {**kept, returning.value: kept.get(returning.value, 0) + n}
    return {name: count for name, count in sorted(moved.items()) if count}
