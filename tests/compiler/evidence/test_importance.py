"""Which features a model relies on, and where it is wrong: known answers from models that are formulas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from limosa_compiler.arrays import Array, Arrays
from limosa_compiler.calibration.range_table import TensorRange
from limosa_compiler.data import Rows
from limosa_compiler.evidence.findings import ranges_summary
from limosa_compiler.evidence.importance import features_to_permute, permutation_importance, rows_for
from limosa_compiler.evidence.mistakes import mistakes_of
from limosa_compiler.metrics import METRICS

ACCURACY, RMSE = METRICS["accuracy"], METRICS["rmse"]


def sign_of_first(inputs: Arrays) -> Iterator[Array]:
    """Two scores [n, 2] that only look at x[:, 0], 64 rows at a time."""
    for begin in range(0, len(inputs["x"]), 64):
        first = inputs["x"][begin : begin + 64, 0]
        yield np.stack([-first, first], axis=1)


def some_rows(count: int = 200) -> Rows:
    x = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    return Rows(inputs={"x": x}, labels=(x[:, 0] > 0).astype(np.int64))


def test_only_the_feature_that_is_used_is_worth_anything() -> None:
    rows = some_rows()
    features = features_to_permute(rows.inputs, {"x": ("used", "spare")})
    found = permutation_importance(sign_of_first, rows, features, metric=ACCURACY)
    assert found[0].feature == "used"
    assert 40 < found[0].points < 60  # half of the signs are then wrong
    assert found[0].low_points <= found[0].points <= found[0].high_points
    assert found[0].low_points > 30
    assert {(item.feature, item.points) for item in found[1:]} == {("spare", 0.0), ("x[2]", 0.0)}
    again = permutation_importance(sign_of_first, rows, features, metric=ACCURACY)
    assert found == again


def test_wide_inputs_and_sequences_are_permuted_as_wholes() -> None:
    inputs = {"tokens": np.zeros((5, 2048), np.int32), "x": np.zeros((5, 3, 8), np.float32)}
    assert [feature.name for feature in features_to_permute(inputs, {})] == [
        "tokens (all)",
        "x[0]",
        "x[1]",
        "x[2]",
    ]
    assert [feature.name for feature in features_to_permute(inputs, {}, whole=True)] == [
        "tokens (all)",
        "x (all)",
    ]


def test_slow_model_is_asked_on_fewer_rows_and_a_fast_one_on_no_more_than_enough() -> None:
    rows = some_rows(1000)
    assert rows_for(rows, features=3, row_us=10.0).count == 512
    assert rows_for(rows, features=9, row_us=10_000.0).count == 100
    assert rows_for(rows, features=64, row_us=1e6).count == 20


def test_without_labels_nothing_is_said() -> None:
    rows = Rows(inputs=some_rows().inputs, labels=None)
    features = features_to_permute(rows.inputs, {})
    assert permutation_importance(sign_of_first, rows, features, metric=ACCURACY) == ()
    assert mistakes_of("c", [np.zeros((200, 2))], rows, metric=ACCURACY, classes=()).pairs == ()


def test_confusion_counts_every_row_once_under_its_names() -> None:
    labels = np.array([0, 0, 1, 1, 1], np.int64)
    answers = np.eye(2, dtype=np.float32)[[0, 1, 1, 1, 0]]
    rows = Rows(inputs={"x": np.zeros((5, 1), np.float32)}, labels=labels)
    found = mistakes_of("c", np.array_split(answers, 2), rows, metric=ACCURACY, classes=("rest", "walk"))
    assert found.classes == ("rest", "walk")
    assert {(pair.true, pair.said): pair.rows for pair in found.pairs} == {
        ("rest", "rest"): 1,
        ("rest", "walk"): 1,
        ("walk", "walk"): 2,
        ("walk", "rest"): 1,
    }
    twice = mistakes_of("c", np.array_split(answers, 2), rows, metric=ACCURACY, classes=("same", "same"))
    assert twice.classes == ("same (0)", "same (1)")


def test_worst_rows_of_a_regression_come_first_with_label_and_answer() -> None:
    labels = np.array([1.0, 2.0, 3.0])
    answers = np.array([[1.0], [7.0], [3.5]])
    rows = Rows(inputs={"x": np.zeros((3, 1), np.float32)}, labels=labels)
    worst = mistakes_of("c", np.array_split(answers, 2), rows, metric=RMSE, classes=()).worst
    assert [(row.row, row.metric) for row in worst] == [(1, 5.0), (2, 0.5), (0, 0.0)]
    assert worst[0].note == "label 2, answer 7"


def test_ranges_that_lose_most_come_first_then_the_widest() -> None:
    minmax = {
        "flat": TensorRange(low=0, high=1),
        "tail": TensorRange(low=0, high=100),
        "wide": TensorRange(low=-9, high=9),
    }
    kept = {**minmax, "tail": TensorRange(low=0, high=5)}
    assert [item.tensor for item in ranges_summary(minmax, kept)] == ["tail", "wide", "flat"]
    assert ranges_summary(minmax, kept)[0].cut_share == 0.95
