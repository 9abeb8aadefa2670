"""Small ONNX models that stand for two versions of one: quantized and float weights, names, structure."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def quantized_model(*, seed: int = 1, moved: float = 0.0, rows: int = 48, axis: int = 0) -> bytes:
    """One quantized Gemm with a scale per channel, its float bias, and a float16 layer.

    `moved` is how far training went: standard deviation of the change of float weights.
    """
    rng = np.random.default_rng(seed)
    later = np.random.default_rng(seed + 1000)
    weights = rng.normal(0, 0.05, (rows, 96)).astype(np.float32)
    weights += later.normal(0, moved, weights.shape).astype(np.float32) if moved else np.float32(0)
    scale = (np.abs(weights).max(axis=1 - axis) / 127).astype(np.float32)
    steps = np.expand_dims(scale, 1 - axis)
    bias = rng.normal(0, 1, 96 if axis else rows).astype(np.float32) + np.float32(moved)
    half = rng.normal(0, 1, (rows if axis == 0 else 96, 40)).astype(np.float16) + np.float16(moved)
    tensors = {
        "w_q": np.rint(weights / steps).astype(np.int8),
        "w_scale": scale,
        "bias": bias,
        "half": half,
        "shape": np.arange(3),
    }
    return _model(tensors, axis=axis)


def _model(tensors: dict[str, np.ndarray], *, axis: int) -> bytes:
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "w_scale"], ["w"], "dq", axis=axis),
        helper.make_node("Gemm", ["x", "w", "bias"], ["y"], "gemm", transB=1 - axis),
        helper.make_node("Cast", ["half"], ["half32"], "cast", to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["y", "half32"], ["z"], "matmul"),
    ]
    wide = tensors["w_q"].shape[axis - 1 if axis else 1]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", wide])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", tensors["half"].shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
