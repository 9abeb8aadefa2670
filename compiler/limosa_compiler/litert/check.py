"""Whether a toolchain does its work: a small model is converted, quantized, run and compared.

An import check is no check: the import succeeds where the interpreter fails (compiler 4).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.errors import ModelRefused, PassFailed, ToolchainFailed
from limosa_compiler.litert.conversion import convert, quantize
from limosa_compiler.litert.runner import LitertRunner
from limosa_compiler.litert.toolchain import Toolchain
from limosa_compiler.running.runner import Runner

_CHANNELS: Final = 4
_SIZE: Final = 6
_FLOAT_ERROR: Final = 1e-4  # of outputs between 0 and 1
_INT8_ERROR: Final = 0.1


def check(toolchain: Toolchain) -> None:
    """Raises ToolchainFailed."""
    model, rows = small_model(), _rows(32)
    try:
        expected = Runner(model.SerializeToString()).run({"x": rows})["y"]
        fp32 = convert(toolchain, model, where="check")
        made = quantize(toolchain, fp32, rungs=["int8-minmax"], calibration=[{"x": rows}], where="check")
        if "int8-minmax" not in made.models:
            raise ToolchainFailed("a small model cannot be quantized", why=made.failed.get("int8-minmax", ""))
        for data, limit in ((fp32, _FLOAT_ERROR), (made.models["int8-minmax"], _INT8_ERROR)):
            error = _distance(toolchain, data, rows, expected)
            if not error <= limit:
                raise ToolchainFailed(
                    "a small model answers differently",
                    where="check",
                    why=f"by {error:.3g}; at most {limit:g}",
                )
    except (PassFailed, ModelRefused) as error:
        raise ToolchainFailed(
            "it does not do its work", where=str(toolchain.folder), why=str(error)
        ) from error


def small_model() -> onnx.ModelProto:
    """Convolution, pooling, a dense layer, softmax: x [N, 2, 6, 6] -> y [N, 4]."""
    draw = np.random.default_rng(7)
    weights = {
        "kernel": draw.normal(size=(_CHANNELS, 2, 3, 3)).astype(np.float32),
        "dense": draw.normal(size=(_CHANNELS, _CHANNELS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "dense"], ["m"], name="dense"),
        helper.make_node("Softmax", ["m"], ["y"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "check",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, _SIZE, _SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", _CHANNELS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _rows(count: int) -> Array:
    return np.random.default_rng(11).normal(size=(count, 2, _SIZE, _SIZE)).astype(np.float32)


def _distance(toolchain: Toolchain, model: bytes, rows: Array, expected: Array) -> float:
    runner = LitertRunner(toolchain, model, what="check")
    try:
        return float(np.abs(runner.run({"x": rows})["y"] - expected).max())
    finally:
        runner.close()
