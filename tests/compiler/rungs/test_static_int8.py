"""Static int8: the same each time, and the traps that a quantizer sets."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from limosa_compiler.errors import RungNotMade
from limosa_compiler.limits import LIMITS
from limosa_compiler.rungs import static_int8
from limosa_compiler.rungs.static_int8 import Setting, make, quantize_static
from limosa_compiler.running.runner import Runner
from limosa_compiler.search.candidate import candidate
from limosa_devices.demo.motion import asset, load
from tests.compiler.graphs import FEATURES, classifier, model_of, rows
from tests.compiler.rungs.material import material_of

GEMMS = ("wide", "middle", "narrow")
MINMAX = Setting(ranges="minmax", core_only=False)
SETTINGS = [
    Setting(ranges=ranges, core_only=core_only, weight_bits=bits)
    for bits in (8, 7)
    for core_only in (False, True)
    for ranges in ("minmax", "p99.999", "p99.9")
]


def constants(model: bytes) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load_from_string(model).graph.initializer}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_gives_a_model_that_loads_and_the_same_bytes_each_time(setting: Setting) -> None:
    data = rows(300, seed=9)
    first, second = (make(material_of(classifier(), rows(200)), setting) for _ in range(2))
    assert first.model == second.model
    assert first.name == setting.name
    scores = Runner(first.model).predict({"x": data["x"]})["scores"]
    assert (scores.argmax(axis=1) == data["label"]).mean() > 0.9


def test_weights_are_int8_per_channel_and_activations_uint8() -> None:
    model = onnx.load_from_string(asset("motion-2.0.0.onnx"))
    made = make(material_of(model, {"window": load("calibration").window}), MINMAX)
    types = constants(made.model)
    weight = types["conv2.weight_quantized"]
    assert weight.data_type == onnx.TensorProto.INT8
    assert list(types["conv2.weight_scale"].dims) == [weight.dims[0]]
    assert types["relu1_zero_point"].data_type == onnx.TensorProto.UINT8


def test_seven_bits_of_weights_stay_within_what_pairs_of_products_may_be() -> None:
    """255 × 63 × 2 fits in 16 bits; 255 × 127 × 2 does not, and x86 without VNNI saturates there."""
    found = material_of(classifier(), rows(200))
    eight, seven = (
        make(found, Setting(ranges="minmax", core_only=True, weight_bits=bits)) for bits in (8, 7)
    )

    def largest(model: bytes) -> int:
        weights = [
            t for name, t in constants(model).items() if name.endswith("_quantized") and len(t.dims) == 2
        ]
        return max(int(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max()) for t in weights)

    assert largest(eight.model) == 127
    assert largest(seven.model) <= 64
    assert 255 * largest(seven.model) * 2 <= 2**15


def test_gemm_bias_of_two_dimensions_no_longer_breaks_quantization() -> None:
    """onnxruntime's quantizer fails on [1, N] per channel (compiler 3); fusing makes such biases too."""
    made = make(material_of(classifier(bias_rank=2), rows(200)), MINMAX)
    data = rows(300, seed=9)
    scores = Runner(made.model).predict({"x": data["x"]})["scores"]
    assert (scores.argmax(axis=1) == data["label"]).mean() > 0.95


def test_bias_of_two_dimensions_that_only_fusing_makes_is_flattened_too() -> None:
    """MatMul and Add become a Gemm in preparation, when ingest has looked at Gemms; a real model did so."""
    weight = np.eye(FEATURES, 3, dtype=np.float32)
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
            helper.make_node("Add", ["product", "b"], ["y"], name="sum"),
        ],
        {"w": weight, "b": np.ones((1, 3), np.float32)},
        {"x": ["N", FEATURES]},
        {"y": ["N", 3]},
    )
    found = material_of(model, rows(200))
    assert [node.op_type for node in found.prepared.graph.node] == ["Gemm"]
    x = rows(50, seed=4)["x"]
    answers = Runner(make(found, MINMAX).model).predict({"x": x})["y"]
    assert np.abs(answers - (x @ weight + 1)).max() < 0.1


def test_structures_of_candidates_that_differ_in_constants_are_equal() -> None:
    found = material_of(classifier(), rows(200))
    minmax, cut = (make(found, Setting(ranges=ranges, core_only=False)) for ranges in ("minmax", "p99.9"))
    assert minmax.structure == cut.structure != candidate("fp32", "fp32", found.prepared).structure
    assert minmax.digest != cut.digest


def test_unnamed_nodes_are_named_so_that_leaving_one_out_leaves_out_that_one() -> None:
    """With empty names, excluding one node excludes all of them, silently (compiler 3)."""
    found = material_of(classifier(names=False), rows(200))
    gemms = [node.name for node in found.prepared.graph.node if node.op_type == "Gemm"]
    assert len(set(gemms)) == 3
    made = make(found, Setting(ranges="minmax", core_only=True), float_nodes=(gemms[0],))
    types = constants(made.model)
    assert types["wide"].data_type == onnx.TensorProto.FLOAT
    assert {"middle_quantized", "narrow_quantized"} <= set(types)
    assert made.float_nodes == (gemms[0],)


def test_processing_nodes_stay_in_float() -> None:
    model = classifier()
    model.graph.node[0].name = "limosa_pre/0.project"
    made = make(material_of(model, rows(200)), MINMAX)
    assert constants(made.model)["wide"].data_type == onnx.TensorProto.FLOAT


def test_model_without_anything_to_quantize_is_not_made() -> None:
    model = model_of(
        [helper.make_node("Sin", ["x"], ["y"], name="sin")], {}, {"x": ["N", 4]}, {"y": ["N", 4]}
    )
    with pytest.raises(RungNotMade):
        make(material_of(model, rows(50)), MINMAX)


def test_what_only_tools_read_is_not_shipped() -> None:
    made = onnx.load_from_string(make(material_of(classifier(), rows(200)), MINMAX).model)
    assert not made.graph.value_info
    assert made.producer_name == ""
    assert all(
        not node.name for node in made.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    )


def test_core_only_leaves_what_lies_between_in_float() -> None:
    assert set(static_int8.CORE_OPERATORS) < set(static_int8.ALL_OPERATORS)
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
            helper.make_node("Mul", ["product", "factor"], ["y"], name="mul"),
        ],
        {"w": np.eye(FEATURES, dtype=np.float32), "factor": np.array([0.5, 1, 2, 4], np.float32)},
        {"x": ["N", FEATURES]},
        {"y": ["N", FEATURES]},
    )
    found = material_of(model, rows(100))
    core, everything = (
        constants(make(found, Setting(ranges="minmax", core_only=core_only)).model)
        for core_only in (True, False)
    )
    assert {"w_quantized", "factor"} <= set(core)
    assert {"w_quantized", "factor_quantized"} <= set(everything)


def test_graph_of_four_thousand_nodes_is_left_in_float_at_once() -> None:
    """Its quantizer looks through all nodes for each node: ten thousand of them took hours."""
    names = [f"t{i}" for i in range(LIMITS.quantized_nodes_max + 2)]
    chain = [
        helper.make_node("Relu", [a], [b], name=b) for a, b in zip(["x", *names], [*names, "y"], strict=True)
    ]
    model = model_of(chain, {}, {"x": ["N", 4]}, {"y": ["N", 4]})
    with pytest.raises(RungNotMade) as caught:
        quantize_static(model, {}, MINMAX, keep=(), where="deep.onnx")
    assert "too many nodes" in caught.value.what
