"""Slices: who belongs where, and what is said of those with few rows (compiler 1.3)."""

from __future__ import annotations

import numpy as np
import pytest

from limosa_compiler.errors import DataMismatch
from limosa_compiler.measuring.scores import Score, rows_of_slices, score_of, scores_by_slice, small_slices
from limosa_compiler.metrics import METRICS
from limosa_contracts.fields import Fields

ACCURACY = METRICS["accuracy"]


def test_every_slice_is_measured_against_fp32_on_its_own_rows() -> None:
    right, wrong = np.ones((40, 1)), np.zeros((40, 1))
    ours, theirs = np.concatenate([right, wrong[:10], right[10:]]), np.concatenate([right, right])
    slices = {"person": np.repeat([2, 1], 40), "place": np.array(["in", "out"] * 40)}
    found = scores_by_slice(ACCURACY, ours, theirs, slices, intervals=True)
    assert list(found) == ["person=1", "person=2", "place=in", "place=out"]
    assert (found["person=1"].points, found["person=2"].points) == (-25.0, 0.0)
    interval = found["person=1"].interval_points
    assert interval is not None
    assert interval.low < -25 < interval.high < 0


def test_bytes_and_objects_name_slices_like_texts_do() -> None:
    for values in (np.array([b"x", b"y"]), np.array(["x", "y"], object), np.array(["x", "y"])):
        assert list(rows_of_slices({"k": values})) == ["k=x", "k=y"]


def test_column_of_measurements_is_no_slice() -> None:
    with pytest.raises(DataMismatch) as refused:
        rows_of_slices({"weight": np.linspace(0, 1, 65)})
    assert "65 different values" in refused.value.what


def test_small_slice_is_warned_of() -> None:
    columns = np.ones((29, 1))
    found = {"person=1": score_of(ACCURACY, columns, columns, intervals=False)}
    (warning,) = small_slices(found, part="tune")
    assert "person=1: 29 tune rows, under 30" in warning


def test_score_survives_writing_and_reading() -> None:
    columns = np.array([[1.0], [0.0], [1.0]])
    for intervals in (True, False):
        score = score_of(ACCURACY, columns, columns, intervals=intervals)
        assert Score.parse(Fields(score.as_json(), where="s")) == score
