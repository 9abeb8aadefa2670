"""Intervals cover what they say they cover, on data whose truth is known (compiler 2.6)."""

from __future__ import annotations

import numpy as np
import pytest

from limosa_compiler.metrics import METRICS, Doubles, difference_points

ACCURACY, RMSE = METRICS["accuracy"], METRICS["rmse"]
LOSS = 0.02  # true, of the simulated candidate


def classified(draw: np.random.Generator, rows: int) -> tuple[Doubles, Doubles]:
    """fp32 right on 85 %; the candidate loses 5 % of the rows, and wins 3 %."""
    kind = draw.choice(4, size=rows, p=[0.80, 0.05, 0.03, 0.12])
    ours, theirs = np.isin(kind, (0, 2)), np.isin(kind, (0, 1))
    return ours.astype(np.float64)[:, None], theirs.astype(np.float64)[:, None]


def coverage(repeats: int, rows: int) -> tuple[float, float]:
    """(share of two-sided intervals that hold the truth, share of lower bounds below it)."""
    draw = np.random.default_rng(7)
    inside = above = 0
    for _ in range(repeats):
        found = difference_points(ACCURACY, *classified(draw, rows))
        inside += found.points.low <= -100 * LOSS <= found.points.high
        above += found.lower_bound <= -100 * LOSS
    return inside / repeats, above / repeats


def test_intervals_of_the_difference_cover_the_truth() -> None:
    two_sided, one_sided = coverage(150, 400)
    assert 0.90 <= two_sided <= 0.995  # 95 %, and four standard errors of 150 repeats
    assert 0.88 <= one_sided <= 0.995


@pytest.mark.soak
@pytest.mark.parametrize("rows", [200, 400, 1000])
def test_intervals_of_the_difference_cover_the_truth_long(rows: int) -> None:
    two_sided, one_sided = coverage(2000, rows)
    assert two_sided == pytest.approx(0.95, abs=0.02)
    assert one_sided == pytest.approx(0.95, abs=0.02)


def test_interval_of_the_metric_itself_covers_it_too() -> None:
    draw = np.random.default_rng(8)
    hits = 0
    for _ in range(100):
        errors = draw.normal(size=(300, 1)) ** 2
        interval = difference_points(RMSE, errors, errors).metric
        hits += interval.low <= 1.0 <= interval.high
    assert hits >= 87


def test_more_columns_than_rows_do_not_take_more_memory_than_the_bound() -> None:
    columns = np.zeros((30, 40_000))
    found = difference_points(ACCURACY, columns, columns)
    assert (found.points.low, found.points.high) == (0, 0)
