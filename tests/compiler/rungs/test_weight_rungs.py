"""Rungs that change weights alone: dynamic int8 and 4 bits."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from limosa_compiler.errors import RungNotMade
from limosa_compiler.rungs import dynamic_int8, weights_int4
from limosa_compiler.rungs.weights_int4 import BLOCK, quantize_blocks
from limosa_compiler.running.runner import Runner
from limosa_devices.demo.motion import asset, load
from tests.compiler.graphs import classifier, model_of, rows
from tests.compiler.rungs.material import material_of

WIDE = 256


def dense(*, op_type: str = "MatMul", transposed: bool = False) -> onnx.ModelProto:
    """x [N, 256] -> y [N, 100]."""
    weight = np.random.default_rng(3).normal(size=(WIDE, 100)).astype(np.float32)
    constants = {"w": np.ascontiguousarray(weight.T) if transposed else weight}
    inputs = ["x", "w"]
    if op_type == "Gemm":
        constants["b"] = np.linspace(-1, 1, 100).astype(np.float32)
        inputs.append("b")
    node = helper.make_node(op_type, inputs, ["y"], name="dense")
    if op_type == "Gemm":
        node.attribute.append(helper.make_attribute("transB", int(transposed)))
    return model_of([node], constants, {"x": ["N", WIDE]}, {"y": ["N", 100]})


def wide_rows(count: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"x": np.random.default_rng(1).normal(size=(count, WIDE)).astype(np.float32)}


def of_rest(model: bytes, reference: onnx.ModelProto) -> float:
    """RMS of the difference over RMS of the answers."""
    x = wide_rows(64)
    true = Runner(reference.SerializeToString()).predict(x)["y"]
    given_ = Runner(model).predict(x)["y"]
    return float(np.sqrt(((true - given_) ** 2).mean() / (true**2).mean()))


@pytest.mark.parametrize(("op_type", "transposed"), [("MatMul", False), ("Gemm", False), ("Gemm", True)])
def test_four_bits_load_on_stock_onnxruntime_and_are_a_sixth(op_type: str, transposed: bool) -> None:
    model = dense(op_type=op_type, transposed=transposed)
    made = weights_int4.make(material_of(model, wide_rows(32)))
    assert made.precision == "int4"
    assert made.size < 0.2 * len(model.SerializeToString())
    assert of_rest(made.model, model) < 0.12


def test_four_bits_are_the_same_bytes_each_time() -> None:
    first, second = (weights_int4.make(material_of(dense(), wide_rows(8))).model for _ in range(2))
    assert first == second


@given(
    depth=st.integers(1, 100), width=st.integers(1, 6), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99)
)
def test_no_weight_moves_by_more_than_its_blocks_step(
    depth: int, width: int, scale: float, seed: int
) -> None:
    weights = (np.random.default_rng(seed).normal(size=(depth, width)) * scale).astype(np.float32)
    packed, scales, zeros = quantize_blocks(weights)
    blocks = -(-depth // BLOCK)
    assert packed.shape == (width, blocks, BLOCK // 2)
    assert zeros.shape == (width * -(-blocks // 2),)
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(width, blocks, BLOCK).astype(np.float64)
    rows_of_zeros = zeros.reshape(width, -1)
    points = np.stack([rows_of_zeros & 15, rows_of_zeros >> 4], axis=-1).reshape(width, -1)[:, :blocks]
    steps = scales.reshape(width, blocks, 1).astype(np.float64)
    back = ((codes - points[..., None]) * steps).reshape(width, -1)[:, :depth].T
    allowed = np.repeat(steps[:, :, 0], BLOCK, axis=1)[:, :depth].T
    assert (np.abs(back - weights) <= allowed * 1.001 + 1e-12).all()


def test_small_matrices_are_not_worth_four_bits() -> None:
    with pytest.raises(RungNotMade):
        weights_int4.make(material_of(classifier(), rows(50)))


@pytest.mark.parametrize("bits", [8, 7])
def test_dynamic_int8_of_gemm_and_matmul_loads(bits: int) -> None:
    model = dense(op_type="Gemm", transposed=True)
    made = dynamic_int8.rung(bits).make(material_of(model, wide_rows(32)))
    kinds = {node.op_type for node in onnx.load_from_string(made.model).graph.node}
    assert "MatMulInteger" in kinds
    assert made.size < 0.35 * len(model.SerializeToString())
    assert of_rest(made.model, model) < 0.05
    assert made.recipe["weight_bits"] == bits


def test_dynamic_int8_never_touches_a_convolution() -> None:
    """ConvInteger takes 2 to 12 times as long as fp32 (compiler 3)."""
    model = onnx.load_from_string(asset("motion-2.0.0.onnx"))
    found = material_of(model, {"window": load("calibration").window})
    try:
        made = dynamic_int8.rung(8).make(found).model
    except RungNotMade:
        return
    kinds = [node.op_type for node in onnx.load_from_string(made).graph.node]
    assert "ConvInteger" not in kinds
    assert kinds.count("Conv") == [node.op_type for node in found.prepared.graph.node].count("Conv")


def test_model_of_convolutions_alone_has_no_dynamic_rung() -> None:
    weight = np.ones((4, 1, 3), np.float32)
    model = model_of(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1])],
        {"w": weight},
        {"x": ["N", 1, 16]},
        {"y": ["N", 4, 16]},
    )
    x = np.zeros((20, 1, 16), np.float32) + np.arange(20, dtype=np.float32)[:, None, None]
    with pytest.raises(RungNotMade):
        dynamic_int8.rung(8).make(material_of(model, {"x": x}))
