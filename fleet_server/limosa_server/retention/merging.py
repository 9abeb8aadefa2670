"""Windows added up. No I/O. Counts are sums, so the order of windows changes nothing (telemetry 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from limosa_contracts.window import Sketch, Window

Number = TypeVar("Number", int, float)
COUNT_MAX: Final = 2**40  # in one window: a device that says more lies, and its window adds nothing
MOMENT_MAX: Final = 1e100
SUM_MAX: Final = 2**62  # however many windows come: it fits every column


def believable(window: Window) -> bool:
    """Whether its numbers may be added to what others said: one that counts to the end of a column must not
    take the sums of its whole cohort with it (telemetry 3.2)."""
    sketch = window.sketch
    rows = (*sketch.bins, sketch.missing, sketch.classes, sketch.confidence, sketch.latency)
    moments = (*sketch.sums, *sketch.squares)
    return (
        max(window.n, *window.counters.values(), 0) <= COUNT_MAX
        and all(max(row, default=0) <= COUNT_MAX for row in rows)
        and all(abs(moment) <= MOMENT_MAX for moment in moments)  # not a number is not less than anything
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Of some windows of one artifact; `sketch` None where their shapes differ, which no agent sends."""

    windows: int
    n: int
    length_s: float
    counters: Mapping[str, int]
    sketch: Sketch | None

    @classmethod
    def of(cls, window: Window) -> Totals:
        return cls(
            windows=1,
            n=window.n,
            length_s=window.length_s,
            counters=window.counters,
            sketch=window.sketch,
        )

    def plus(self, other: Totals) -> Totals:
        names = sorted({*self.counters, *other.counters})
        return replace(
            self,
            windows=self.windows + other.windows,
            n=min(self.n + other.n, SUM_MAX),
            length_s=self.length_s + other.length_s,
            counters={name: self.counters.get(name, 0) + other.counters.get(name, 0) for name in names},
            sketch=_sum(self.sketch, other.sketch),
        )


def _sum(one: Sketch | None, other: Sketch | None) -> Sketch | None:
    if one is None or other is None or _shape(one) != _shape(other):
        return None
    return Sketch(
        bins=tuple(_each(a, b) for a, b in zip(one.bins, other.bins, strict=True)),
        missing=_each(one.missing, other.missing),
        sums=_each(one.sums, other.sums),
        squares=_each(one.squares, other.squares),
        classes=_each(one.classes, other.classes),
        confidence=_each(one.confidence, other.confidence),
        latency=_each(one.latency, other.latency),
    )


def _each(one: Sequence[Number], other: Sequence[Number]) -> tuple[Number, ...]:
    return tuple([a + b for a, b in zip(one, other, strict=True)])


def _shape(sketch: Sketch) -> tuple[int, ...]:
    return (
        *(len(row) for row in sketch.bins),
        -1,
        len(sketch.missing),
        len(sketch.classes),
        len(sketch.confidence),
        len(sketch.latency),
    )
