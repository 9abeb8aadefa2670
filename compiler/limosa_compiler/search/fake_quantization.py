"""A float model in which single nodes see what quantization would leave of their tensors (compiler 2.5).

Made by editing the graph, in a hundredth of the time that the quantizer takes for a whole model. It only
ranks nodes; candidates are made by the quantizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from limosa_compiler.arrays import Array
from limosa_compiler.calibration.range_table import TensorRange
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.rungs.order import in_order
from limosa_compiler.rungs.static_int8 import CORE_OPERATORS

_STEPS: Final = 255.0  # of unsigned 8 bits
_BEFORE, _CODES, _AFTER = "~before", "~codes", "~after"


def with_quantized(
    prepared: onnx.ModelProto, name: str, ranges: Mapping[str, TensorRange], *, weight_bits: int
) -> onnx.ModelProto:
    """The model with the tensors of node `name` quantized and dequantized; all else as it was."""
    node = next(node for node in prepared.graph.node if node.name == name)
    constants = {tensor.name for tensor in prepared.graph.initializer}
    is_core = node.op_type in CORE_OPERATORS
    weights = set(node.input[:2] if is_core else node.input) & constants
    result = _without(prepared, weights)
    for tensor in prepared.graph.initializer:
        if tensor.name in weights:
            axis = _channel_axis(node) if is_core else None
            result.graph.initializer.append(_rounded(tensor, axis, weight_bits))
    for tensor_name in dict.fromkeys((*node.input, *node.output)):
        if tensor_name in ranges and tensor_name not in constants:
            _quantize(result.graph, tensor_name, ranges[tensor_name])
    in_order(result.graph)
    return result


def _without(prepared: onnx.ModelProto, weights: set[str]) -> onnx.ModelProto:
    """A copy, without some initializers."""
    result = onnx.ModelProto(ir_version=prepared.ir_version)
    result.opset_import.extend(prepared.opset_import)
    graph = result.graph
    graph.name = prepared.graph.name
    graph.node.extend(prepared.graph.node)
    graph.input.extend(prepared.graph.input)
    graph.output.extend(prepared.graph.output)
    graph.initializer.extend(tensor for tensor in prepared.graph.initializer if tensor.name not in weights)
    return result


def _quantize(graph: onnx.GraphProto, name: str, span: TensorRange) -> None:
    """Between the tensor's maker and all that read it."""
    low, high = min(span.low, 0.0), max(span.high, 0.0)
    scale = np.float32((high - low) / _STEPS)
    if not scale > 0:
        return
    zero = np.uint8(np.clip(np.rint(-low / float(scale)), 0, _STEPS))
    constants = [f"{name}~scale", f"{name}~zero"]
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), constants[0]))
    graph.initializer.append(numpy_helper.from_array(np.asarray(zero), constants[1]))
    source, target = name, name
    if name in {value.name for value in fed_inputs(graph)}:
        target = name + _AFTER
        for node in graph.node:
            for index, given in enumerate(node.input):
                if given == name:
                    node.input[index] = target
    else:
        source = name + _BEFORE
        for node in graph.node:
            for index, made in enumerate(node.output):
                if made == name:
                    node.output[index] = source
    graph.node.append(helper.make_node("QuantizeLinear", [source, *constants], [name + _CODES]))
    graph.node.append(helper.make_node("DequantizeLinear", [name + _CODES, *constants], [target]))


def _channel_axis(node: onnx.NodeProto) -> int:
    """Of the weights' output channels, as the quantizer takes it."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        return 0 if options.get("transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else -1


def _rounded(tensor: onnx.TensorProto, axis: int | None, weight_bits: int) -> onnx.TensorProto:
    """The weights after symmetric rounding: per channel, or as one where `axis` is None."""
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    weights: Array = numpy_helper.to_array(tensor)
    largest = float(2 ** (weight_bits - 1) - 1)
    peak = np.abs(weights).max(initial=0, axis=_others(weights.ndim, axis), keepdims=True)
    scale = np.where(peak > 0, peak / largest, 1.0).astype(np.float32)
    rounded = np.clip(np.rint(weights / scale), -largest, largest) * scale
    return numpy_helper.from_array(rounded.astype(np.float32), tensor.name)


def _others(rank: int, axis: int | None) -> tuple[int, ...]:
    kept = None if axis is None or rank == 0 or rank == 1 else axis % rank
    return tuple(index for index in range(rank) if index != kept)
