"""Outputs that a device could not serve, or a metric not read, are refused when a build begins."""

from __future__ import annotations

import numpy as np
import pytest

from limosa_compiler.errors import UnsupportedShape
from limosa_compiler.loading.outputs import metric_output, require_row_each
from limosa_compiler.running.stateful import State
from limosa_contracts.errors import InvalidField
from limosa_contracts.serving import TensorSpec

LABEL = TensorSpec(name="label", dtype="BYTES", shape=(-1,))
INDEX = TensorSpec(name="index", dtype="INT64", shape=(-1,))
SCORES = TensorSpec(name="scores", dtype="FP32", shape=(-1, 3))


@pytest.mark.parametrize("shape", [(), (1, 3), (6,)])
def test_output_without_a_row_for_each_row_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedShape) as refused:
        require_row_each({"scores": np.zeros(shape)}, [SCORES], rows=2, where="m.onnx")
    assert refused.value.why == f"2 rows in, shape {list(shape)} out"
    require_row_each({"scores": np.zeros((2, 3))}, [SCORES], rows=2, where="m.onnx")


def test_metric_reads_the_first_output_of_numbers_and_of_a_classifier_its_scores() -> None:
    outputs = (LABEL, INDEX, SCORES)
    assert metric_output("", outputs, (), scores=False) == "index"
    assert metric_output("", outputs, (), scores=True) == "scores"
    assert metric_output("scores", outputs, (), scores=False) == "scores"


def test_texts_states_and_names_that_there_are_none_of_are_refused() -> None:
    state = State(input="h", output="scores", shape=(3,), dtype="float32")
    with pytest.raises(UnsupportedShape, match="no output is a tensor of numbers"):
        metric_output("", (LABEL, SCORES), (state,), scores=False)
    with pytest.raises(InvalidField) as refused:
        metric_output("score", (LABEL, SCORES), (), scores=False)
    assert refused.value.hint == "did you mean 'scores'?"
