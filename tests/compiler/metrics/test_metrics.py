"""Metrics as sums over rows, checked against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.errors import DataMismatch, UnknownMetric
from limosa_compiler.metrics import METRICS, check_labels, lower_bound, metric_named

ACCURACY, MACRO_F1, RMSE = METRICS["accuracy"], METRICS["macro_f1"], METRICS["rmse"]


def scores_for(classes: list[int], *, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.eye(width, dtype=np.float32)[classes]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_macro_f1_and_accuracy_are_what_their_definitions_say(pairs: list[tuple[int, int]]) -> None:
    said, true = [pair[0] for pair in pairs], np.array([pair[1] for pair in pairs])
    answers = scores_for(said, width=4)
    f1 = []
    for label in set(said) | set(true.tolist()):
        hits = sum(1 for a, b in pairs if a == b == label)
        f1.append(2 * hits / (said.count(label) + int((true == label).sum())))
    assert MACRO_F1.of(MACRO_F1.columns(answers, true)) == pytest.approx(np.mean(f1))
    right = sum(1 for a, b in pairs if a == b) / len(pairs)
    assert ACCURACY.of(ACCURACY.columns(answers, true)) == pytest.approx(right)


def test_rmse_is_better_when_lower_and_its_points_are_percent() -> None:
    labels = np.array([0.0, 0.0])
    ours = RMSE.of(RMSE.columns(np.array([[3.0], [4.0]]), labels))
    assert ours == pytest.approx((12.5) ** 0.5)
    assert float(RMSE.points(np.asarray(1.1), np.asarray(1.0))) == pytest.approx(-10)


def test_equal_answers_lose_nothing_with_certainty() -> None:
    columns = ACCURACY.columns(scores_for([0, 1, 1], width=2), np.array([0, 1, 0]))
    assert lower_bound(ACCURACY, columns, columns) == 0.0


def test_bound_is_paired_and_repeats() -> None:
    """Both wrong on the same half: the noise of the metric is shared and cancels."""
    right = np.tile([1.0, 0.0], 200)[:, None]
    slightly_worse = right.copy()
    slightly_worse[:4] = 0
    bound = lower_bound(ACCURACY, slightly_worse, right)
    assert bound == lower_bound(ACCURACY, slightly_worse, right)
    assert -1.5 < bound < -0.5  # loses 0.5 points; unpaired, the bound would be near -6


def test_unknown_metric_lists_those_there_are() -> None:
    with pytest.raises(UnknownMetric) as refused:
        metric_named("acuracy")
    assert "accuracy" in refused.value.hint


@pytest.mark.parametrize("labels", [np.array([0, 7]), np.array([-1, 0]), np.array([0.5, 1.0])])
def test_labels_that_no_class_has_are_refused(labels: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    with pytest.raises(DataMismatch):
        check_labels(ACCURACY, scores_for([0, 1], width=3), labels, where="e.npz")


def test_output_that_names_no_class_is_refused_with_a_way_out() -> None:
    with pytest.raises(DataMismatch) as refused:
        check_labels(ACCURACY, np.zeros((2, 3, 4), np.float32), np.array([0, 1]), where="e.npz")
    assert "[metric] output" in refused.value.hint
