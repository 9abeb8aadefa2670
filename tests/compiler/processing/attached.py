"""A model that does nothing, with steps before or after it: what comes out is what the steps do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from limosa_compiler.passes import Context
from limosa_compiler.processing.attach import attach
from limosa_compiler.processing.tensor_type import ELEMENT
from limosa_compiler.recipe.processing import Processing
from limosa_compiler.running.runner import Runner
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

Array: TypeAlias = np.ndarray[Any, Any]
Shape: TypeAlias = Sequence[int | str | None]
CONTEXT = Context(where="test.onnx", source_bytes=0)


def passing(tensors: Mapping[str, tuple[str, Shape]], *, opset: int = 17) -> onnx.ModelProto:
    """Each tensor `NAME` goes from input NAME to output NAME_out, unchanged."""
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"{name}_out"], name=f"pass_{name}") for name in tensors],
            "graph",
            [
                helper.make_tensor_value_info(name, ELEMENT[kind], shape)
                for name, (kind, shape) in tensors.items()
            ],
            [
                helper.make_tensor_value_info(f"{name}_out", ELEMENT[kind], shape)
                for name, (kind, shape) in tensors.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )


def processing_of(
    *, pre: Sequence[Mapping[str, JsonValue]] = (), post: Sequence[Mapping[str, JsonValue]] = ()
) -> Processing:
    return Processing.parse(Fields({"preprocess": list(pre), "postprocess": list(post)}, where=""))


def attached(
    model: onnx.ModelProto,
    *,
    pre: Sequence[Mapping[str, JsonValue]] = (),
    post: Sequence[Mapping[str, JsonValue]] = (),
) -> onnx.ModelProto:
    result, _ = attach(model, processing_of(pre=pre, post=post), CONTEXT)
    return result


def run(model: onnx.ModelProto, **inputs: Array) -> dict[str, Array]:
    return Runner(model.SerializeToString(), what="attached").run(inputs)


def before(x: Array, *steps: Mapping[str, JsonValue], takes: tuple[str, Shape], opset: int = 17) -> Array:
    """`x` through preprocessing steps in front of a model that takes `takes`."""
    return run(attached(passing({"x": takes}, opset=opset), pre=steps), x=x)["x_out"]


def after(x: Array, *steps: Mapping[str, JsonValue], opset: int = 17) -> Array:
    """`x` through postprocessing steps behind a model that gives it."""
    shape: Shape = ["N", *x.shape[1:]]
    return run(attached(passing({"x": (x.dtype.name, shape)}, opset=opset), post=steps), x=x)["x_out"]
