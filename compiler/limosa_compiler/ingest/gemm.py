"""Gemm biases as quantizers expect them."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from limosa_compiler.graph_walk import graphs, initializer_names
from limosa_compiler.ingest.naming import free_name
from limosa_compiler.passes import Context, PassReport, copy_of, reported


def flatten_gemm_bias(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Gemm biases [1, N] become [N]: per-channel quantization breaks on the former."""
    result = copy_of(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    changed = 0
    for node in result.graph.node:
        bias = constants.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is None or len(bias.dims) != 2 or bias.dims[0] != 1:
            continue
        name = free_name(f"{bias.name}_flat", set(constants))
        flat = numpy_helper.from_array(numpy_helper.to_array(bias).reshape(-1), name)
        constants[name] = flat
        result.graph.initializer.append(flat)
        node.input[2] = name
        changed += 1
    return reported("flatten_gemm_bias", model, _without_unused(result), changed=changed)


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    for name in sorted(initializer_names(model.graph) - used):
        for position, tensor in enumerate(model.graph.initializer):
            if tensor.name == name:
                del model.graph.initializer[position]
                break
    return model
