"""fp16 by a route that loads (compiler 2.4), past the traps of compiler 3."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.errors import RungNotMade
from limosa_compiler.rungs.fp16 import make, to_float16
from limosa_compiler.running.runner import Runner
from tests.compiler.graphs import FEATURES, classifier, model_of, rows
from tests.compiler.rungs.material import material_of, prepared_of


def with_cast() -> onnx.ModelProto:
    """A mask that is made by comparing, and cast back to float: what makes naive fp16 models unloadable."""
    model = model_of(
        [
            helper.make_node("Greater", ["x", "zero"], ["mask"], name="greater"),
            helper.make_node("Cast", ["mask"], ["ones"], name="cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "ones"], ["positive"], name="mul"),
            helper.make_node("MatMul", ["positive", "w"], ["y"], name="matmul"),
        ],
        {"zero": np.zeros(1, np.float32), "w": np.eye(FEATURES, dtype=np.float32)},
        {"x": ["N", FEATURES]},
        {"y": ["N", FEATURES]},
    )
    return prepared_of(model)[0]


def test_model_with_a_cast_to_float_loads_and_answers() -> None:
    half = to_float16(with_cast(), keep=(), where="m")
    x = rows(40)["x"]
    answers = Runner(half.SerializeToString()).predict({"x": x})["y"]
    assert answers.dtype == np.float32
    assert np.abs(answers - np.maximum(x, 0)).max() < 1e-2


def test_inputs_and_outputs_stay_float32_and_weights_take_half() -> None:
    made = make(material_of(classifier(), rows(100)))
    model = onnx.load_from_string(made.model)
    kinds = [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]
    assert kinds == [TensorProto.FLOAT] * 2
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}
    assert (made.precision, made.name) == ("fp16", "fp16")
    assert made.size < 0.65 * len(classifier().SerializeToString())


def test_processing_nodes_stay_in_float32() -> None:
    model = classifier()
    model.graph.node[0].name = "limosa_pre/0.project"
    made = onnx.load_from_string(make(material_of(model, rows(100))).model)
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds["wide"] == TensorProto.FLOAT
    assert kinds["middle"] == TensorProto.FLOAT16
    data = rows(100, seed=5)
    scores = Runner(made.SerializeToString()).predict({"x": data["x"]})["scores"]
    assert (scores.argmax(axis=1) == data["label"]).all()


def test_branches_are_converted_too() -> None:
    def branch(name: str, factor: float) -> onnx.GraphProto:
        constant = numpy_helper.from_array(np.array([factor], np.float32), f"{name}_factor")
        return helper.make_graph(
            [helper.make_node("Mul", ["scaled", f"{name}_factor"], [f"{name}_y"], name=name)],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["N", FEATURES])],
            [constant],
        )

    twice, thrice = branch("t", 2), branch("e", 3)
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["scaled"], name="scale"),
            helper.make_node("ReduceSum", ["scaled"], ["sum"], name="sum", keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["is_positive"], name="greater"),
            helper.make_node(
                "If",
                ["is_positive"],
                ["y"],
                name="if",
                then_branch=twice,
                else_branch=thrice,
            ),
        ],
        {"w": np.eye(FEATURES, dtype=np.float32), "zero": np.array(0, np.float32)},
        {"x": ["N", FEATURES]},
        {"y": ["N", FEATURES]},
    )
    half = to_float16(prepared_of(model)[0], keep=(), where="m").SerializeToString()
    x = np.abs(rows(8)["x"])
    answers = Runner(half).predict({"x": x})["y"]
    assert np.abs(answers - 2 * x).max() < 1e-2


def test_same_bytes_each_time() -> None:
    first, second = (make(material_of(classifier(), rows(100))).model for _ in range(2))
    assert first == second


def test_model_without_float_weights_has_no_half() -> None:
    model = model_of(
        [helper.make_node("Sin", ["x"], ["y"], name="sin")], {}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )
    with pytest.raises(RungNotMade):
        make(material_of(model, rows(20)))


def test_converters_package_leaves_the_module_path_as_it_was() -> None:
    before = list(sys.path)
    make(material_of(classifier(), rows(20)))
    assert sys.path == before
