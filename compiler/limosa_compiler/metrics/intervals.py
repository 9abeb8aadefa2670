"""Confidence by a paired bootstrap: candidate and fp32 are resampled by the same rows (compiler 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from limosa_compiler.metrics.metric import Doubles, Metric

RESAMPLES: Final = 2000
SEED: Final = 20_011_999
ONE_SIDED: Final = 0.05
TWO_SIDED: Final = (0.025, 0.975)
_CHUNK_NUMBERS: Final = 4_000_000  # bounds memory while resampling
_KEPT_NUMBERS: Final = 2_000_000  # weights of up to 1,000 rows are kept: 16 MB
_KEPT_COUNTS: Final = 8_000_000  # of up to 4,000 rows as 16-bit counts, since drawing costs most: 16 MB too
_KEPT_REFERENCE: Final = 100_000  # numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """95 %, two-sided."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of a candidate to fp32, in points; and the metric's own interval."""

    lower_bound: float  # exceeded with 95 % confidence, one-sided
    points: Interval
    metric: Interval


def difference_points(metric: Metric, columns: Doubles, reference: Doubles) -> Difference:
    """Both [N, C]. A fixed seed: the same answers give the same intervals.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, percentile intervals, 13.3.
    """
    rows = len(columns)
    each = max(1, min(RESAMPLES, _CHUNK_NUMBERS // max(rows, columns.shape[1], reference.shape[1])))
    kept = rows * RESAMPLES <= _KEPT_COUNTS and reference.size <= _KEPT_REFERENCE
    known = _kept_values(metric, reference.tobytes(), reference.shape, each) if kept else ()
    values: list[Doubles] = []
    points: list[Doubles] = []
    for turn, weights in enumerate(_weights(rows, each)):
        ours = metric.value(weights @ columns, rows)
        theirs = known[turn] if kept else metric.value(weights @ reference, rows)
        values.append(ours)
        points.append(metric.points(ours, theirs))
    found = np.concatenate(points)
    return Difference(
        lower_bound=float(np.quantile(found, ONE_SIDED)),
        points=_interval(found),
        metric=_interval(np.concatenate(values)),
    )


def lower_bound(metric: Metric, columns: Doubles, reference: Doubles) -> float:
    """Points against the reference that are exceeded with 95 % confidence."""
    return difference_points(metric, columns, reference).lower_bound


@lru_cache(maxsize=8)  # every candidate is compared with the same answers, of all rows and of each slice
def _kept_values(metric: Metric, reference: bytes, shape: tuple[int, ...], each: int) -> tuple[Doubles, ...]:
    """The metric of each resample of the reference."""
    columns, rows = np.frombuffer(reference, np.float64).reshape(shape), shape[0]
    return tuple(metric.value(weights @ columns, rows) for weights in _weights(rows, each))


def _weights(rows: int, each: int) -> Iterable[Doubles]:
    """How often each row is drawn, [.., rows], `each` resamples at a time; the same ones every time."""
    if rows * RESAMPLES <= _KEPT_NUMBERS:
        return _kept_weights(rows, each)
    if rows * RESAMPLES <= _KEPT_COUNTS:
        return (counts.astype(np.float64) for counts in _kept_counts(rows, each))
    return _drawn_weights(rows, each)


@lru_cache(maxsize=4)  # every candidate is resampled by the same rows
def _kept_weights(rows: int, each: int) -> tuple[Doubles, ...]:
    return tuple(_drawn_weights(rows, each))


@lru_cache(maxsize=4)
def _kept_counts(rows: int, each: int) -> tuple[npt.NDArray[np.uint16], ...]:
    return tuple(weights.astype(np.uint16) for weights in _drawn_weights(rows, each))


def _drawn_weights(rows: int, each: int) -> Iterator[Doubles]:
    draw = np.random.default_rng(SEED)
    for begin in range(0, RESAMPLES, each):
        size = min(each, RESAMPLES - begin)
        yield draw.multinomial(rows, np.full(rows, 1.0 / rows), size=size).astype(np.float64)


def _interval(found: Doubles) -> Interval:
    low, high = np.quantile(found, TWO_SIDED)
    return Interval(low=float(low), high=float(high))
