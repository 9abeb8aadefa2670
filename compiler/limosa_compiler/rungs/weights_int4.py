"""Large matrices of weights in 4 bits, everything else in float (compiler 2.4).

As com.microsoft::MatMulNBits, which stock onnxruntime has for every operator set since 1.17; the
standard's own 4-bit types would need opset 21. Rounded to nearest in blocks of 32, each with a scale and
a zero point: no data and no randomness is needed, and numpy alone makes the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.errors import PassFailed, RungNotMade
from limosa_compiler.graph_walk import graphs
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import copy_of
from limosa_compiler.rungs.rung import Material, Rung, processing_nodes
from limosa_compiler.rungs.weights import require_share
from limosa_compiler.search.candidate import INT4, Candidate, candidate

KIND: Final = "int4"
BLOCK: Final = 32  # weights of one column that share a scale
DOMAIN: Final = "com.microsoft"
_LARGEST: Final = 15.0  # of 4 bits


def make(material: Material) -> Candidate:
    keep = processing_nodes(material.prepared)
    model = quantize_weights(material.prepared, keep=keep, where=material.where)
    return candidate(INT4, INT4, model, recipe={"rung": KIND, "weight_bits": 4, "block": BLOCK})


def quantize_weights(prepared: onnx.ModelProto, *, keep: Sequence[str], where: str) -> onnx.ModelProto:
    """`keep`: names of nodes that stay as they are. Raises RungNotMade without a large matrix."""
    result = copy_of(prepared)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    changed: list[str] = []
    for node in result.graph.node:
        weights = None if node.name in keep else _weights_of(node, constants)
        if weights is None:
            nodes.append(node)
            continue
        nodes.extend(_replaced(node, weights, result.graph))
        changed.append(node.name)
    if not changed:
        raise RungNotMade(
            "the model has no large matrix of weights",
            where=where,
            why=f"none of MatMul and Gemm has {LIMITS.int4_weights_min} numbers or more",
        )
    require_share(prepared, changed, where=where)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del result.graph.node[:]
    result.graph.node.extend(copies)
    result.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    _drop_unused(result)
    try:
        checker.check_model(result)
    except checker.ValidationError as error:
        raise PassFailed("4-bit weights make an invalid model", where=where, why=str(error)[:300]) from error
    return result


def quantize_blocks(weights: Array) -> tuple[Array, Array, Array]:
    """Float [K, N] -> (codes, scales, zero points), for blocks of a column.

    Codes are uint8 [N, blocks, 16], scales float32 [N * blocks], zero points uint8
    [N * ceil(blocks / 2)]. A weight is (code - zero point) * scale; codes are 0 to 15, the lower half
    of a byte first.
    """
    depth, width = weights.shape
    blocks = -(-depth // BLOCK)
    padded = np.zeros((width, blocks * BLOCK), np.float32)
    padded[:, :depth] = weights.T
    parts = padded.reshape(width, blocks, BLOCK)
    low = np.minimum(parts.min(axis=2), 0)
    high = np.maximum(parts.max(axis=2), 0)
    scale = ((high - low) / np.float32(_LARGEST)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1))
    zero = np.clip(np.rint(-low / divisor), 0, _LARGEST)
    codes = np.clip(np.rint(parts / divisor[..., None] + zero[..., None]), 0, _LARGEST).astype(np.uint8)
    zeros = np.zeros((width, blocks + blocks % 2), np.uint8)
    zeros[:, :blocks] = zero.astype(np.uint8)
    return _packed(codes), scale.reshape(-1), _packed(zeros).reshape(-1)


def _packed(codes: Array) -> Array:
    return np.asarray(codes[..., 0::2] | (codes[..., 1::2] << 4), np.uint8)


def _weights_of(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> Array | None:
    """The constant [K, N] that a node multiplies with, if it is large and the node a plain product."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("MatMul", "Gemm"):
        return None
    tensor = constants.get(node.input[1])
    if tensor is None or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    if tensor.dims[0] * tensor.dims[1] < LIMITS.int4_weights_min:
        return None
    options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    plain = (options.get("alpha", 1.0), options.get("beta", 1.0), options.get("transA", 0))
    if plain != (1.0, 1.0, 0):
        return None
    weights = numpy_helper.to_array(tensor)
    return weights.T if options.get("transB", 0) else weights


def _replaced(node: onnx.NodeProto, weights: Array, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    packed, scales, zeros = quantize_blocks(weights)
    parts = {f"{node.name}_codes": packed, f"{node.name}_scales": scales, f"{node.name}_zeros": zeros}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in parts.items())
    biased = len(node.input) > 2 and bool(node.input[2])
    product = f"{node.output[0]}_product" if biased else node.output[0]
    made = [
        helper.make_node(
            "MatMulNBits",
            [node.input[0], *parts],
            [product],
            name=f"{node.name}_4bit",
            domain=DOMAIN,
            K=weights.shape[0],
            N=weights.shape[1],
            bits=4,
            block_size=BLOCK,
        )
    ]
    if biased:
        bias = [product, node.input[2]]
        made.append(helper.make_node("Add", bias, [node.output[0]], name=f"{node.name}_bias"))
    return made


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)


RUNG: Final = Rung(name=INT4, kind=KIND, precision=INT4, make=make)
