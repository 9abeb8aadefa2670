"""How a candidate does on some rows, against fp32 on the same, and slice by slice (compiler 1.3, 2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.limits import LIMITS
from limosa_compiler.metrics import Doubles, Interval, Metric, difference_points
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """On one part of the evaluation rows. Points are against fp32; positive is better.

    Intervals are two-sided, 95 %, and there on tune rows only: nothing is inferred from holdout rows.
    """

    rows: int
    metric: float
    points: float
    lower_bound_points: float | None = None  # exceeded with 95 % confidence, one-sided
    interval_points: Interval | None = None
    interval: Interval | None = None  # of the metric itself

    def as_json(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {
            "rows": self.rows,
            "metric": self.metric,
            "points": self.points,
            "lower_bound_points": self.lower_bound_points,
        }
        for name, interval in (("interval_points", self.interval_points), ("interval", self.interval)):
            if interval is not None:
                said[name] = {"low": interval.low, "high": interval.high}
        return said

    @classmethod
    def parse(cls, fields: Fields) -> Score:
        return cls(
            rows=fields.integer("rows", low=0),
            metric=fields.number("metric"),
            points=fields.number("points"),
            lower_bound_points=fields.maybe("lower_bound_points", fields.number),
            interval_points=fields.maybe("interval_points", lambda n: _interval(fields.fields(n))),
            interval=fields.maybe("interval", lambda n: _interval(fields.fields(n))),
        )


def score_of(metric: Metric, ours: Doubles, reference: Doubles, *, intervals: bool) -> Score:
    """Both are the metric's columns [N, C], of the same rows."""
    value, theirs = metric.of(ours), metric.of(reference)
    found = difference_points(metric, ours, reference) if intervals else None
    return Score(
        rows=len(ours),
        metric=value,
        points=float(metric.points(np.asarray(value), np.asarray(theirs))),
        lower_bound_points=found.lower_bound if found else None,
        interval_points=found.points if found else None,
        interval=found.metric if found else None,
    )


def scores_by_slice(
    metric: Metric,
    ours: Doubles,
    reference: Doubles,
    slices: Mapping[str, Array],
    *,
    intervals: bool,
) -> dict[str, Score]:
    """By "column=value", in the order of columns and values. Raises DataMismatch."""
    return {
        name: score_of(metric, ours[index], reference[index], intervals=intervals)
        for name, index in rows_of_slices(slices).items()
    }


def rows_of_slices(slices: Mapping[str, Array]) -> dict[str, Array]:
    """Which rows belong to "column=value". Raises DataMismatch for a column of too many values.

    >>> rows_of_slices({"person": np.array([2, 1, 2])})
    {'person=1': array([1]), 'person=2': array([0, 2])}
    """
    found: dict[str, Array] = {}
    for column, values in slices.items():
        texts = np.array([_text(value) for value in values.reshape(-1).tolist()], dtype=str)
        order = {_text(value): None for value in np.unique(values.reshape(-1)).tolist()}
        if len(order) > LIMITS.slice_values_max:
            raise DataMismatch(
                f"slice {column!r} has {len(order)} different values",
                where="data.slices",
                why=f"at most {LIMITS.slice_values_max} are told apart",
                hint="put the values into a few groups, and name that column",
            )
        found |= {f"{column}={text}": np.flatnonzero(texts == text) for text in order}
    return found


def small_slices(slices: Mapping[str, Score], *, part: str) -> tuple[str, ...]:
    """A warning for each slice that has too few rows for a verdict."""
    return tuple(
        f"slice {name}: {score.rows} {part} rows, under {LIMITS.slice_rows_min}: "
        "its loss is reported, and not held against the gate"
        for name, score in slices.items()
        if score.rows < LIMITS.slice_rows_min
    )


def judged(slices: Mapping[str, Score]) -> Sequence[tuple[str, Score]]:
    """Slices with rows enough for a verdict."""
    return [(name, score) for name, score in slices.items() if score.rows >= LIMITS.slice_rows_min]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _interval(fields: Fields) -> Interval:
    return Interval(low=fields.number("low"), high=fields.number("high"))
