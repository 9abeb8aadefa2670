"""Attaching: what a model is like afterwards, and which models it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.errors import StepRefused
from limosa_compiler.ingest import opset_of
from limosa_compiler.processing.attach import attach
from limosa_compiler.processing.names import is_processing
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonValue
from tests.compiler.graphs import classifier, rows
from tests.compiler.processing.attached import CONTEXT, attached, passing, processing_of, run

NORMALIZE: dict[str, JsonValue] = {"step": "normalize", "mean": [1, 2, 3, 4], "std": [2, 2, 2, 2]}


def test_raw_rows_give_what_the_bare_model_gives_on_prepared_ones() -> None:
    model = classifier()
    raw = np.random.default_rng(0).integers(0, 256, size=(50, 4), dtype=np.uint8)
    prepared = (raw.astype(np.float32) - np.array([1, 2, 3, 4], np.float32)) / np.float32(2)
    whole = attached(model, pre=[{"step": "cast"}, NORMALIZE], post=[{"step": "argmax"}])
    np.testing.assert_array_equal(
        run(whole, x=raw)["scores"], run(model, x=prepared)["scores"].argmax(axis=1)
    )


def test_names_of_inputs_and_outputs_stay_and_their_types_are_the_raw_ones() -> None:
    whole = attached(classifier(), pre=[{"step": "cast"}, NORMALIZE], post=[{"step": "argmax"}])
    (x,), (scores,) = whole.graph.input, whole.graph.output
    assert (x.name, x.type.tensor_type.elem_type) == ("x", TensorProto.UINT8)
    assert (scores.name, scores.type.tensor_type.elem_type) == ("scores", TensorProto.INT64)
    onnx.checker.check_model(whole, full_check=True)


def test_every_node_that_came_is_told_by_its_name_and_none_of_the_models_own_is() -> None:
    model = classifier()
    own = {node.name for node in model.graph.node}
    whole = attached(model, pre=[NORMALIZE], post=[{"step": "argmax"}])
    assert {node.name for node in whole.graph.node if not is_processing(node.name)} == own
    names = [node.name for node in whole.graph.node]
    assert len(set(names)) == len(names)


def test_the_given_model_is_left_alone_and_nothing_is_done_where_nothing_is_asked() -> None:
    model = classifier()
    before = model.SerializeToString(deterministic=True)
    attached(model, pre=[NORMALIZE], post=[{"step": "argmax"}])
    assert model.SerializeToString(deterministic=True) == before
    same, reports = attach(model, processing_of(), CONTEXT)
    assert same is model
    assert reports == ()


def test_reports_say_what_comes_in_and_what_the_model_gets() -> None:
    _, (before, after) = attach(
        classifier(),
        processing_of(pre=[{"step": "cast"}, NORMALIZE], post=[{"step": "argmax"}]),
        CONTEXT,
    )
    assert before.note == "x: uint8 [?, 4] -> float32 [?, 4] (test.onnx)"
    assert before.changed == before.nodes_after - before.nodes_before == 3
    assert "scores: int64 [?]" in after.note


def test_an_old_operator_set_is_raised_only_where_a_step_needs_it() -> None:
    model = passing({"x": ("float32", ["N", 8, 8, 3])}, opset=17)
    assert opset_of(attached(model, pre=[{"step": "scale", "factor": 2}])) == 17
    resized = attached(model, pre=[{"step": "resize", "height": 8, "width": 8}])
    assert opset_of(resized) == 18
    assert resized.ir_version == model.ir_version
    newer = passing({"x": ("float32", ["N", 8, 8, 3])}, opset=21)
    assert opset_of(attached(newer, pre=[{"step": "resize", "height": 8, "width": 8}])) == 21


def test_each_input_has_its_own_chain_whatever_the_order_of_the_recipe() -> None:
    model = passing({"a": ("float32", ["N", 2]), "b": ("float32", ["N", 2])})
    whole = attached(
        model,
        pre=[
            {"input": "b", "step": "scale", "factor": 10},
            {"input": "a", "step": "scale", "offset": 1},
            {"input": "b", "step": "scale", "offset": 5},
        ],
    )
    got = run(whole, a=np.ones((1, 2), np.float32), b=np.ones((1, 2), np.float32))
    assert got["a_out"].tolist() == [[2, 2]]
    assert got["b_out"].tolist() == [[15, 15]]


def test_a_step_without_a_name_is_refused_where_there_are_two_inputs() -> None:
    model = passing({"a": ("float32", ["N", 2]), "b": ("float32", ["N", 2])})
    with pytest.raises(StepRefused, match="2 inputs"):
        attached(model, pre=[{"step": "scale", "factor": 10}])
    with pytest.raises(StepRefused) as refused:
        attached(model, pre=[{"input": "aa", "step": "scale", "factor": 10}])
    assert refused.value.hint == "did you mean 'a'?"


def test_what_reads_the_input_inside_an_if_reads_the_prepared_one() -> None:
    def branch(factor: float) -> onnx.GraphProto:
        constant = numpy_helper.from_array(np.array(factor, np.float32), "factor")
        output = helper.make_tensor_value_info("made", TensorProto.FLOAT, ["N", 2])
        node = helper.make_node("Mul", ["x", "factor"], ["made"], name=f"times_{factor}")
        return helper.make_graph([node], "branch", [], [output], [constant])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Greater", ["sum", "limit"], ["large"], name="large"),
        helper.make_node("If", ["large"], ["y"], name="if", then_branch=branch(1), else_branch=branch(-1)),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
            [numpy_helper.from_array(np.array(10, np.float32), "limit")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    whole = attached(model, pre=[{"step": "scale", "factor": 100}])
    assert run(whole, x=np.ones((1, 2), np.float32))["y"].tolist() == [[100, 100]]
    assert run(whole, x=-np.ones((1, 2), np.float32))["y"].tolist() == [[100, 100]]


def test_an_output_that_the_model_goes_on_from_keeps_its_old_value_inside() -> None:
    """`scores` is an output and feeds another: softmax after it must not reach the other."""
    model = classifier()
    model.graph.node.append(helper.make_node("Neg", ["logits"], ["negative"], name="negative"))
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("logits", "negative")
    )
    whole = attached(model, post=[{"output": "logits", "step": "scale", "factor": 3}])
    x = rows(4)["x"]
    plain, got = run(model, x=x), run(whole, x=x)
    np.testing.assert_array_equal(got["negative"], plain["negative"])
    np.testing.assert_array_equal(got["logits"], plain["logits"] * 3)


def test_unknown_keys_are_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidField) as refused:
        processing_of(pre=[{**NORMALIZE, "axes": 1}])
    assert refused.value.where == "preprocess[0].axes"
    assert refused.value.hint == "did you mean 'axis'?"
    with pytest.raises(InvalidField) as refused:
        processing_of(pre=[{"step": "normalise", "mean": [0], "std": [1]}])
    assert refused.value.hint == "did you mean 'normalize'?"


def test_a_recipe_with_too_many_steps_is_refused() -> None:
    with pytest.raises(InvalidField, match="65 elements"):
        processing_of(pre=[NORMALIZE] * 65)


CODE = """
from hashlib import sha256
from tests.compiler.processing.attached import attached, passing
model = passing({"x": ("float32", ["N", None, 40]), "y": ("float32", ["N", 8, 8, 3])})
whole = attached(model, pre=[
    {"input": "x", "step": "log_mel", "sample_rate": 16000, "fft_size": 512, "hop": 160, "mels": 40},
    {"input": "y", "step": "resize", "height": 8, "width": 8, "fit": "letterbox"},
], post=[{"output": "x_out", "step": "top_k", "k": 3}, {"output": "y_out", "step": "sigmoid"}])
print(sha256(whole.SerializeToString(deterministic=True)).hexdigest())
"""


def test_the_same_recipe_gives_the_same_bytes_under_any_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1
