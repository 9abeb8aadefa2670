"""Weights of MatMul and Gemm in 8 bits, activations quantized as they come (compiler 2.4).

Never a Conv: dynamic int8 makes those 2 to 12 times slower (compiler 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx
from onnx import checker
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode

from limosa_compiler.errors import PassFailed, RungNotMade
from limosa_compiler.graph_walk import initializer_names
from limosa_compiler.ingest.prepare import quiet_runtime
from limosa_compiler.passes import copy_of
from limosa_compiler.rungs.rung import Material, Rung, processing_nodes, refuse_large_graph
from limosa_compiler.rungs.static_int8 import QUANTIZER_ERRORS, finished
from limosa_compiler.rungs.weights import require_share
from limosa_compiler.search.candidate import INT8, Candidate, candidate

KIND: Final = "int8-dynamic"
OPERATORS: Final = ("Gemm", "MatMul")


def make(material: Material, *, name: str, weight_bits: int) -> Candidate:
    keep = processing_nodes(material.prepared)
    model = quantize_dynamic(material.prepared, keep=keep, weight_bits=weight_bits, where=material.where)
    return candidate(name, INT8, model, recipe={"rung": KIND, "weight_bits": weight_bits})


def quantize_dynamic(
    prepared: onnx.ModelProto, *, keep: Sequence[str], weight_bits: int, where: str
) -> onnx.ModelProto:
    """`keep`: names of nodes that stay in float. Raises PassFailed, RungNotMade."""
    refuse_large_graph(prepared, where=where)
    constants = initializer_names(prepared.graph)
    nodes = [
        node.name
        for node in prepared.graph.node
        if node.op_type in OPERATORS and node.input[1] in constants and node.name not in keep
    ]
    if not nodes:
        raise RungNotMade("the model multiplies no matrix of weights", where=where, why="no MatMul or Gemm")
    require_share(prepared, nodes, where=where)
    # The quantizer makes a MatMul and an Add of a Gemm, and names the former after it.
    named = [*nodes, *(f"{name}_MatMul" for name in nodes)]
    try:
        with quiet_runtime():
            quantizer = ONNXQuantizer(
                copy_of(prepared),
                True,  # per channel
                weight_bits == 7,
                QuantizationMode.IntegerOps,
                False,  # activations as they come
                QuantType.QInt8,
                QuantType.QUInt8,
                None,
                named,
                [],
                ["MatMul"],
                {"MatMulConstBOnly": True},
            )
            quantizer.quantize_model()
            result = finished(quantizer.model, prepared)
    except (*QUANTIZER_ERRORS, checker.ValidationError) as error:
        raise PassFailed(
            "the model cannot be quantized", where=where, why=f"{type(error).__name__}: {error}"[:300]
        ) from error
    return result


def rung(weight_bits: int) -> Rung:
    name = "int8-dynamic" if weight_bits == 8 else "int8-7bit-dynamic"
    return Rung(
        name=name,
        kind=KIND,
        precision=INT8,
        make=lambda material: make(material, name=name, weight_bits=weight_bits),
    )
