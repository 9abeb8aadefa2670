"""Branches and loops through the quantizer: what is around them becomes int8, what is inside stays float."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.building import BuildResult
from limosa_compiler.errors import RungNotMade
from limosa_compiler.graph_walk import graphs
from limosa_compiler.ingest.shared_constants import share_constants
from limosa_compiler.passes import Context
from limosa_compiler.rungs import static_int8
from limosa_compiler.rungs.static_int8 import Setting
from limosa_compiler.running.runner import Runner
from limosa_compiler.search.left_out import NOT_APPLICABLE
from tests.compiler.graphs import FEATURES, model_of, recipe_folder
from tests.compiler.rungs.material import material_of, prepared_of

CORE = Setting(ranges="minmax", core_only=True)
EVERYTHING = Setting(ranges="minmax", core_only=False)
WIDE = 64
WEIGHTS = np.random.default_rng(7).normal(size=(FEATURES, WIDE)).astype(np.float32)
SQUARE = np.random.default_rng(8).normal(size=(WIDE, WIDE)).astype(np.float32) / 8


def inputs() -> dict[str, Array]:
    return {"x": np.random.default_rng(3).normal(size=(64, FEATURES)).astype(np.float32)}


def branch(name: str, operator: str, weights: Array = SQUARE) -> onnx.GraphProto:
    """`hidden`, of the graph around it, times the branch's own weights; then one more step."""
    return helper.make_graph(
        [
            helper.make_node("MatMul", ["hidden", f"{name}_w"], [f"{name}_m"], name=f"{name}_times"),
            helper.make_node(operator, [f"{name}_m"], [f"{name}_y"], name=f"{name}_last"),
        ],
        name,
        [],
        [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["N", WIDE])],
        [numpy_helper.from_array(weights, f"{name}_w")],
    )


def with_if(other: Array = SQUARE) -> onnx.ModelProto:
    """A product, then one of two branches by the sign of its sum, then a product again."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"], name="first"),
        helper.make_node("ReduceSum", ["hidden"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"], name="greater"),
        helper.make_node(
            "If",
            ["positive"],
            ["either"],
            name="if",
            then_branch=branch("t", "Relu"),
            else_branch=branch("e", "Neg", other),
        ),
        helper.make_node("MatMul", ["either", "v"], ["y"], name="second"),
    ]
    constants = {"w": WEIGHTS, "v": WEIGHTS.T.copy(), "zero": np.array(0, np.float32)}
    return model_of(nodes, constants, {"x": ["N", FEATURES]}, {"y": ["N", FEATURES]})


def with_loop(*, outside: bool = True) -> onnx.ModelProto:
    """Three times the same weights; `outside`: with a product before the loop."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"], name="go_on"),
            helper.make_node("MatMul", ["state", "square"], ["product"], name="turn"),
            helper.make_node("Tanh", ["product"], ["next"], name="bend"),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["N", WIDE]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["N", WIDE]),
        ],
        [numpy_helper.from_array(SQUARE, "square")],
    )
    width = FEATURES if outside else WIDE
    nodes = [helper.make_node("Loop", ["three", "yes", "hidden"], ["y"], name="loop", body=body)]
    constants = {"three": np.array(3, np.int64), "yes": np.array(True)}
    if outside:
        nodes.insert(0, helper.make_node("MatMul", ["x", "w"], ["hidden"], name="first"))
        constants["w"] = WEIGHTS
    else:
        nodes[0].input[2] = "x"
    return model_of(nodes, constants, {"x": ["N", width]}, {"y": ["N", WIDE]})


def inner_kinds(model: onnx.ModelProto) -> set[str]:
    _, *inner = graphs(model.graph)
    return {node.op_type for graph in inner for node in graph.node}


@pytest.mark.parametrize("setting", [CORE, EVERYTHING], ids=lambda setting: str(setting.name))
@pytest.mark.parametrize("make", [with_if, with_loop])
def test_what_surrounds_a_branch_or_a_loop_is_quantized_and_the_inside_stays_as_it_was(
    make: object, setting: Setting
) -> None:
    """The quantizer's own sort once put a node before the If it reads from: nothing could be made."""
    assert callable(make)
    model: onnx.ModelProto = make()
    made = static_int8.make(material_of(model, inputs()), setting)
    quantized = onnx.load_from_string(made.model)
    assert "QuantizeLinear" in {node.op_type for node in quantized.graph.node}
    assert not {"QuantizeLinear", "DequantizeLinear", "MatMulInteger"} & inner_kinds(quantized)
    expected = Runner(model.SerializeToString()).predict(inputs())["y"]
    answers = Runner(made.model).predict(inputs())["y"]
    assert np.abs(answers - expected).max() < 0.1 * np.abs(expected).max()
    assert static_int8.make(material_of(model, inputs()), setting).model == made.model


def test_model_that_is_nothing_but_a_loop_is_left_in_float_for_that_reason() -> None:
    x = {"x": np.random.default_rng(3).normal(size=(64, WIDE)).astype(np.float32)}
    with pytest.raises(RungNotMade, match="nothing to quantize"):
        static_int8.make(material_of(with_loop(outside=False), x), CORE)


def test_model_that_stays_float_says_why_in_evidence_and_report(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    x = {"x": np.random.default_rng(3).normal(size=(300, WIDE)).astype(np.float32)}
    more = '[metric]\nname = "sqnr"\n'
    recipe = recipe_folder(tmp_path / "r", with_loop(outside=False), calibration=x, evaluation=x, more=more)
    built = build_recipe(recipe)
    assert set(built.chosen) == {"generic-x86-64"}
    assert next(iter(built.chosen.values())).name == "fp32"
    reasons = {item.name: item for item in built.evidence.left_out}
    assert reasons["int8-7bit-minmax"].reason == NOT_APPLICABLE
    assert "nothing to quantize" in reasons["int8-7bit-minmax"].detail
    page = built.report_path.read_text()
    assert "Not made" in page
    assert "the model has nothing to quantize" in page


def test_weights_that_two_branches_share_are_kept_once() -> None:
    prepared = prepared_of(with_if())[1]
    _, *inner = graphs(prepared.graph)
    assert not [tensor.name for graph in inner for tensor in graph.initializer]
    assert [list(item.dims) for item in prepared.graph.initializer].count([WIDE, WIDE]) == 1
    before, after = (
        Runner(model.SerializeToString()).predict(inputs())["y"] for model in (with_if(), prepared)
    )
    np.testing.assert_array_equal(before, after)


def test_weights_that_differ_stay_where_they_are_and_the_given_model_is_not_touched() -> None:
    model = with_if(SQUARE * 2)
    data = model.SerializeToString()
    result, report = share_constants(model, Context(where="m", source_bytes=0))
    assert (result, report.changed) == (model, 0)
    assert model.SerializeToString() == data
