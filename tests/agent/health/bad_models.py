"""Real models that are well on their golden vectors and go wrong on live input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from tests.agent.serving.releases import Plan, make_plan

MIB = 1024**2


def nan_plan(version: str) -> Plan:
    """y = log(x): NaN for a row below 0."""
    return make_plan(version, [helper.make_node("Log", ["x"], ["y"])], {})


def hoard_plan(version: str) -> Plan:
    """y = x; a row below 0 takes |x| MiB, and the runtime's arena never gives them back."""
    nodes = [
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Neg", ["least"], ["wanted"]),
        helper.make_node("Max", ["wanted", "one"], ["mib"]),
        helper.make_node("Mul", ["mib", "numbers_per_mib"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "one_dimension"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["hoard"]),
        helper.make_node("ReduceSum", ["hoard"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    weights: dict[str, npt.NDArray[np.generic] | np.generic] = {
        "one": np.float32(1),
        "numbers_per_mib": np.float32(MIB // 4),
        "one_dimension": np.array([1], np.int64),
    }
    return make_plan(version, nodes, weights)
