"""Two windows of one model as one: what a full outbox does instead of dropping (telemetry 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from limosa_contracts.feedback import Feedback
from limosa_contracts.shadow import ShadowSketch
from limosa_contracts.window import Sketch, Window

Number = TypeVar("Number", int, float)
Combine: TypeAlias = Callable[[tuple[Number, ...], tuple[Number, ...]], tuple[Number, ...]]


def merge_windows(older: Window, newer: Window) -> Window:
    """Under the key of the older one; counts add up. Both are closed, and of one model digest and one
    baseline."""
    names = {**older.counters, **newer.counters}
    return replace(
        older,
        rev=older.rev + newer.rev,
        started_mono_s=min(older.started_mono_s, newer.started_mono_s),
        started_at=min(older.started_at, newer.started_at),
        length_s=older.length_s + newer.length_s,
        n=older.n + newer.n,
        counters={name: older.counters.get(name, 0) + newer.counters.get(name, 0) for name in names},
        sketch=add_sketches(older.sketch, newer.sketch),
        feedback=together(older.feedback, newer.feedback),
        shadow=together(older.shadow, newer.shadow),
        memory_bytes=max(older.memory_bytes, newer.memory_bytes),
    )


def add_sketches(a: Sketch, b: Sketch) -> Sketch:
    """Element by element; both have the same lengths."""
    return combine_sketches(a, b, counts=added, amounts=added)


def combine_sketches(a: Sketch, b: Sketch, *, counts: Combine[int], amounts: Combine[float]) -> Sketch:
    """A sketch whose every array comes of the two arrays of its name."""
    return Sketch(
        bins=tuple(counts(x, y) for x, y in zip(a.bins, b.bins, strict=True)),
        missing=counts(a.missing, b.missing),
        sums=amounts(a.sums, b.sums),
        squares=amounts(a.squares, b.squares),
        classes=counts(a.classes, b.classes),
        confidence=counts(a.confidence, b.confidence),
        latency=counts(a.latency, b.latency),
    )


Said = TypeVar("Said", Feedback, ShadowSketch)


def together(a: Said | None, b: Said | None) -> Said | None:
    """None where neither is there."""
    if a is None or b is None:
        return b if a is None else a
    return a.plus(b)


def since(now: Said | None, earlier: Said | None) -> Said | None:
    """What came after `earlier`; None where there is nothing now."""
    return now if now is None or earlier is None else now.minus(earlier)


def added(a: Sequence[Number], b: Sequence[Number]) -> tuple[Number, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))
