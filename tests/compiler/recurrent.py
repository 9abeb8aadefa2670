"""A small recurrent model: its state lies [layers, N, width], as torch and silero-vad write it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4
STEPS = 6
RECIPE = '[gate]\nmax_loss_points = 20\n[inputs.state]\nstate_from = "stateN"\n[inputs.rate]\nvalue = 16000\n'
Arrays = dict[str, np.ndarray[Any, Any]]


def accumulator(*, capture: bool = False) -> onnx.ModelProto:
    """score = softmax(state + x), stateN = state / 2 + x; with a rate of 8000 all is negated.

    With `capture`, the branch reads the state from the graph around it.
    """
    value = helper.make_tensor_value_info
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["state" if capture else "half"], ["kept"], name=f"{kind} inside")],
            kind,
            [],
            [value("kept", TensorProto.FLOAT, [1, "N", WIDTH])],
        )
        for kind in ("Identity", "Neg")
    ]
    nodes = [
        helper.make_node("Mul", ["state", "factor"], ["half"]),
        helper.make_node("Equal", ["rate", "known"], ["is_known"]),
        helper.make_node("If", ["is_known"], ["kept"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("MatMul", ["x", "weight"], ["mixed"]),
        helper.make_node("Unsqueeze", ["mixed", "front"], ["row"]),
        helper.make_node("Add", ["kept", "row"], ["stateN"]),
        helper.make_node("Squeeze", ["stateN", "front"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["score"], axis=1),
    ]
    constants: Arrays = {
        "factor": np.float32(0.5).reshape(1),
        "known": np.array(16000, np.int64),
        "weight": np.eye(WIDTH, dtype=np.float32),
        "front": np.array([0], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "accumulator",
        [
            value("x", TensorProto.FLOAT, ["N", WIDTH]),
            value("state", TensorProto.FLOAT, [1, "N", WIDTH]),
            value("rate", TensorProto.INT64, []),
        ],
        [
            value("score", TensorProto.FLOAT, ["N", WIDTH]),
            value("stateN", TensorProto.FLOAT, ["d0", "N", "d2"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sequences(count: int, *, seed: int, steps: int = STEPS) -> Arrays:
    """x [count, steps, WIDTH], and the class that has most at the end, old steps counting less."""
    x = np.random.default_rng(seed).normal(size=(count, steps, WIDTH)).astype(np.float32)
    return {"x": x, "label": states_after(x).argmax(axis=1)}


def states_after(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The reference: what a loop in numpy makes of it."""
    state = np.zeros((len(x), WIDTH), np.float32)
    for step in range(x.shape[1]):
        state = state / 2 + x[:, step]
    return state
