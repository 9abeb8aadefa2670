"""Answers are looked at batch by batch and not kept: nothing that is measured may notice (compiler 8)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows, split_rows, spooled
from limosa_compiler.data.spooled import SPOOL_BYTES
from limosa_compiler.errors import ModelRefused
from limosa_compiler.measuring.columns import columns_in_turn, columns_of
from limosa_compiler.measuring.measure import first_columns, reference_of
from limosa_compiler.metrics import METRICS, Metric
from limosa_compiler.running.runner import Runner
from tests.compiler.graphs import classifier, rows

CLASSES = 5


def in_batches(array: Array, size: int) -> Iterator[Array]:
    for begin in range(0, len(array), size):
        yield array[begin : begin + size]


def some(metric: Metric, count: int, seed: int) -> tuple[Array, Array]:
    """(answers, labels) as the metric takes them."""
    draw = np.random.default_rng(seed)
    if metric.name in ("cer", "wer"):
        return draw.normal(size=(count, 9, 7)).astype(np.float32), draw.integers(1, 7, (count, 4))
    if metric.name == "map":
        boxes = draw.random((count, 3, 4))
        said = np.concatenate([boxes, draw.random((count, 3, 1)), draw.integers(0, 2, (count, 3, 1))], axis=2)
        return said, np.concatenate([boxes, draw.integers(0, 2, (count, 3, 1))], axis=2)
    answers = draw.normal(size=(count, 300)).astype(np.float32)
    if metric.classifies:
        return answers[:, : CLASSES + 3], draw.integers(0, CLASSES, count)
    return answers, (answers + draw.normal(size=answers.shape) / 9).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "wer"])
@given(count=st.integers(2, 40), size=st.integers(1, 45), seed=st.integers(0, 9))
def test_columns_by_batch_are_those_of_all_rows_at_once(name: str, count: int, size: int, seed: int) -> None:
    metric = METRICS[name]
    answers, labels = some(metric, count, seed)
    at_once = metric.columns(answers, labels)
    in_turn = columns_in_turn(metric, in_batches(answers, size), labels, who="it")
    assert in_turn.tobytes() == at_once.tobytes()


def test_an_early_look_runs_the_batches_of_the_whole_and_none_of_them_twice() -> None:
    runner = Runner(classifier().SerializeToString(), batch_rows=7)
    data = rows(60)
    tune = Rows(inputs={"x": data["x"]}, labels=data["label"])
    metric, output = METRICS["accuracy"], runner.output_names[0]
    reference = reference_of(runner, metric, output, tune, tune)
    first = first_columns(
        runner, reference, metric=metric, output=output, tune=tune, rows=10, known=None, who="it"
    )
    assert len(first) == 14  # whole batches
    whole = first_columns(
        runner, reference, metric=metric, output=output, tune=tune, rows=60, known=first, who="it"
    )
    assert whole.tobytes() == reference.tune.tobytes()


def test_where_there_are_no_labels_the_model_agrees_with_itself() -> None:
    runner = Runner(classifier().SerializeToString(), batch_rows=7)
    tune = Rows(inputs={"x": rows(60)["x"]}, labels=None)
    reference = reference_of(runner, METRICS["cosine"], runner.output_names[0], tune, tune)
    np.testing.assert_array_equal(reference.tune, np.ones((60, 1)))
    np.testing.assert_array_equal(reference.tune_labels, runner.predict(tune.inputs)[runner.output_names[0]])


def test_number_that_is_none_is_named_by_its_row_among_all() -> None:
    runner = Runner(classifier().SerializeToString(), batch_rows=7)
    x = rows(60)["x"].copy()
    x[31] = np.nan
    bad = Rows(inputs={"x": x}, labels=rows(60)["label"])
    assert bad.labels is not None
    with pytest.raises(ModelRefused) as refused:
        columns_of(runner, METRICS["accuracy"], runner.output_names[0], bad, bad.labels, who="it")
    assert refused.value.why == "NaN in row 31 of 60"


def test_large_parts_are_the_same_in_a_file_as_in_memory() -> None:
    shape = (40, SPOOL_BYTES // 128)  # 1.25 times what stays in memory
    array = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    again = spooled.spooled(in_batches(array, 9))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    with pytest.raises(ValueError):
        again[0, 0] = 1.0  # it lies in a file, and is read only
    order = np.arange(39, -1, -1)
    np.testing.assert_array_equal(spooled.taken(array, order), array[order])


def test_split_puts_the_same_rows_on_the_same_side_whatever_they_lie_in() -> None:
    x = np.random.default_rng(2).normal(size=(60, SPOOL_BYTES // 120)).astype(np.float32)
    few = Rows(inputs={"x": x}, labels=np.arange(60))
    tune, holdout = split_rows(few, tune_share=0.9)
    assert tune.labels is not None
    assert holdout.labels is not None
    np.testing.assert_array_equal(tune.inputs["x"], x[tune.labels])
    np.testing.assert_array_equal(holdout.inputs["x"], x[holdout.labels])
