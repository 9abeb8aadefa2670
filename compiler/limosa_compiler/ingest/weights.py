"""Numbers that no trained model has: NaN, infinite weights, scales of zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.errors import BrokenWeights, NotAModel
from limosa_compiler.graph_walk import graphs, nodes
from limosa_compiler.passes import Context, PassReport, reported

_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_MULTIPLYING: Final = frozenset(
    (
        *("BatchNormalization", "Conv", "ConvTranspose", "GRU", "Gemm", "InstanceNormalization", "LSTM"),
        *("LayerNormalization", "MatMul", "Mul", "RNN"),
    )
)
"""Elsewhere an infinity may be meant, as in the mask of an attention."""
_SCALES: Final[Mapping[str, tuple[int, ...]]] = {
    "QuantizeLinear": (1,),
    "DequantizeLinear": (1,),
    "ConvInteger": (),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
}
"""Operator -> positions of its scales."""


def refuse_broken_weights(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Training that diverged is found here, not as an answer that never changes."""
    multiplied, scales = _used(model)
    count = 0
    for name, tensor in _constants(model):
        values = _values(tensor, name, context)
        count += 1
        if values is None:
            continue
        what = _what_is_wrong(values, is_weight=name in multiplied, is_scale=name in scales)
        if what:
            raise BrokenWeights(
                f"tensor {name[:120]!r} {what}",
                where=context.where,
                hint="look at the training run: has it diverged?" if name not in scales else "",
            )
    return reported("refuse_broken_weights", model, model, note=f"{count} tensors")


def _what_is_wrong(values: Array, *, is_weight: bool, is_scale: bool) -> str:
    if np.isnan(values).any():
        return f"holds {int(np.isnan(values).sum())} NaN of {values.size} values"
    if (is_weight or is_scale) and np.isinf(values).any():
        return f"holds {int(np.isinf(values).sum())} infinite values"
    if is_scale and (values <= 0).any():
        return "is a scale that is not above zero"
    return ""


def _used(model: onnx.ModelProto) -> tuple[frozenset[str], frozenset[str]]:
    """(names that are multiplied, names that are scales)."""
    multiplied: set[str] = set()
    scales: set[str] = set()
    for node in nodes(model):
        if node.op_type in _MULTIPLYING:
            multiplied.update(node.input)
        scales.update(node.input[at] for at in _SCALES.get(node.op_type, ()) if at < len(node.input))
    return frozenset(multiplied), frozenset(scales)


def _constants(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """(name by which nodes use it, tensor); a Constant node's tensor goes by the node's output."""
    for graph in graphs(model.graph):
        for tensor in graph.initializer:
            yield tensor.name, tensor
    for node in nodes(model):
        if node.op_type == "Constant" and len(node.output) == 1:
            yield from ((node.output[0], item.t) for item in node.attribute if item.HasField("t"))
    yield from ((tensor.name, tensor) for tensor in _sparse(model))


def _sparse(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Values only: written out, they may be larger than any memory."""
    for graph in graphs(model.graph):
        for sparse in graph.sparse_initializer:
            yield sparse.values


def _values(tensor: onnx.TensorProto, name: str, context: Context) -> Array | None:
    """None for what is not float. Raises NotAModel if bytes and shape do not fit."""
    if tensor.data_type not in _FLOATS:
        return None
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
        return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
    except (ValueError, TypeError) as error:
        raise NotAModel(
            f"tensor {name[:120]!r} does not hold what its shape needs",
            where=context.where,
            why=" ".join(str(error).split())[:200],
        ) from error
