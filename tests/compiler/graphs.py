"""Small ONNX graphs, each with one property that a real model has had, and data that fits them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = 4
CLASSES = 3
HIDDEN = 64  # enough for int8 to be the smaller one


def classifier(
    *, opset: int = 17, ir: int = 8, bias_rank: int = 1, names: bool = True, batch: int | str = "N"
) -> onnx.ModelProto:
    """x [batch, 4] -> two dense layers and a head -> scores [batch, 3]; argmax of x[:3]."""
    rest = np.zeros((FEATURES, HIDDEN - FEATURES))
    constants = {
        "wide": np.concatenate([4 * np.eye(FEATURES), rest], axis=1).astype(np.float32),
        "first": np.full(HIDDEN, 20.0, np.float32),  # keeps Relu open
        "middle": np.eye(HIDDEN, dtype=np.float32),
        "zero": np.zeros(HIDDEN, np.float32),
        "narrow": np.eye(HIDDEN, CLASSES, dtype=np.float32),
        "last": np.zeros(CLASSES, np.float32),
    }
    if bias_rank == 2:
        constants |= {name: constants[name].reshape(1, -1) for name in ("first", "zero", "last")}
    layers = [
        ("Gemm", ["x", "wide", "first"], "hidden"),
        ("Relu", ["hidden"], "positive"),
        ("Gemm", ["positive", "middle", "zero"], "same"),
        ("Gemm", ["same", "narrow", "last"], "logits"),
    ]
    nodes = [
        helper.make_node(kind, inputs, [output], name=output if names else "")
        for kind, inputs, output in layers
    ]
    nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], name="softmax" if names else "", axis=1))
    return model_of(
        nodes, constants, {"x": [batch, FEATURES]}, {"scores": [batch, CLASSES]}, opset=opset, ir=ir
    )


def model_of(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray[Any, Any]],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    *,
    opset: int = 17,
    ir: int = 8,
) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            list(nodes),
            "graph",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir,
    )


def bomb(elements: int) -> onnx.ModelProto:
    """A few bytes that ask for `elements` floats when they are loaded; answers x otherwise."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"], name="fill"),
        helper.make_node("ReduceSum", ["huge"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"], name="add"),
    ]
    return model_of(
        nodes, {"shape": np.array([elements], np.int64)}, {"x": ["N", FEATURES]}, {"y": ["N", FEATURES]}
    )


def rows(count: int, *, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays for `classifier`: x and the right label."""
    x = np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)
    return {"x": x, "label": x[:, :CLASSES].argmax(axis=1).astype(np.int64)}


def recipe_folder(
    folder: Path,
    model: onnx.ModelProto | bytes,
    *,
    calibration: dict[str, np.ndarray[Any, Any]] | None = None,
    evaluation: dict[str, np.ndarray[Any, Any]] | None = None,
    more: str = "",
) -> Path:
    """A folder to build from; gives the path of its recipe. `more` is TOML, tables last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    np.savez(folder / "calibration.npz", **(calibration or rows(100, seed=1)))  # type: ignore[arg-type]  # numpy's stub takes the keyword for allow_pickle
    np.savez(folder / "evaluation.npz", **(evaluation or rows(600, seed=2)))  # type: ignore[arg-type]  # as above
    recipe = folder / "limosa.toml"
    recipe.write_text(
        'name = "demo/toy"\nversion = "1.0.0"\nmodel = "model.onnx"\ntargets = ["generic-x86-64"]\n'
        'data = { calibration = "calibration.npz", evaluation = "evaluation.npz" }\n' + more
    )
    return recipe
