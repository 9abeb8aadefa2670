"""Static int8 as pairs of QuantizeLinear and DequantizeLinear (compiler 2.4).

U8 activations, S8 weights per channel.

7-bit weights are for x86 processors without VNNI: they add pairs of U8 × S8 products in 16 bits, which
overflows with 8-bit weights and cannot with 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import checker
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from limosa_compiler.calibration.range_table import TensorRange
from limosa_compiler.errors import PassFailed, RungNotMade
from limosa_compiler.ingest.prepare import quiet_runtime
from limosa_compiler.passes import copy_of
from limosa_compiler.rungs.order import in_order
from limosa_compiler.rungs.rung import Material, Rung, processing_nodes, refuse_large_graph
from limosa_compiler.search.candidate import INT8, Candidate, candidate
from limosa_contracts.json_value import JsonValue

KIND: Final = "int8"
WEIGHT_BITS: Final = 8
WEIGHT_BITS_SATURATING: Final = 7
# The quantizer meets what it does not expect with whatever Python raises then.
QUANTIZER_ERRORS: Final = (
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AssertionError,
    NotImplementedError,
    checker.ValidationError,
)
# What the quantizer knows; sorted, since a set's order would change the bytes.
ALL_OPERATORS: Final = tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))
_QDQ: Final = ("QuantizeLinear", "DequantizeLinear")
CORE_OPERATORS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to quantize: by which ranges, which operators, how many bits of weights."""

    ranges: str  # a name of RangeTable: minmax, p99.9, …
    core_only: bool  # Conv, MatMul and Gemm, and nothing between them
    weight_bits: int = WEIGHT_BITS

    @property
    def name(self) -> str:
        """
        >>> Setting(ranges="p99.9", core_only=True, weight_bits=7).name
        'int8-7bit-core-p99.9'
        """
        bits = "" if self.weight_bits == WEIGHT_BITS else f"{self.weight_bits}bit-"
        return f"int8-{bits}{'core-' if self.core_only else ''}{self.ranges}"

    @property
    def operators(self) -> tuple[str, ...]:
        return CORE_OPERATORS if self.core_only else ALL_OPERATORS


def make(
    material: Material, setting: Setting, *, name: str = "", float_nodes: tuple[str, ...] = ()
) -> Candidate:
    """`float_nodes`: more nodes that stay in float. Raises PassFailed, RungNotMade."""
    keep = (*processing_nodes(material.prepared), *float_nodes)
    ranges = material.ranges.named(setting.ranges)
    model = quantize_static(material.prepared, ranges, setting, keep=keep, where=material.where)
    recipe: dict[str, JsonValue] = {
        "rung": KIND,
        "ranges": setting.ranges,
        "core_only": setting.core_only,
        "weight_bits": setting.weight_bits,
    }
    return candidate(name or setting.name, INT8, model, float_nodes=float_nodes, recipe=recipe)


def quantizable(
    model: onnx.ModelProto, setting: Setting, *, keep: Sequence[str]
) -> tuple[onnx.NodeProto, ...]:
    """Nodes that the setting would quantize, in graph order."""
    return tuple(
        node for node in model.graph.node if node.op_type in setting.operators and node.name not in keep
    )


def quantize_static(
    prepared: onnx.ModelProto,
    ranges: Mapping[str, TensorRange],
    setting: Setting,
    *,
    keep: Sequence[str],
    where: str,
) -> onnx.ModelProto:
    """`keep`: names of nodes that stay in float. Raises PassFailed, RungNotMade.

    onnxruntime's quantizer is given our ranges: no temporary files, no random names, same bytes.
    """
    refuse_large_graph(prepared, where=where)
    if not quantizable(prepared, setting, keep=keep):
        raise RungNotMade(
            "the model has nothing to quantize", where=where, why=", ".join(setting.operators)[:200]
        )
    data = TensorsData(
        CalibrationMethod.MinMax,
        {name: (np.float32(span.low), np.float32(span.high)) for name, span in sorted(ranges.items())},
    )
    try:
        with quiet_runtime():
            quantizer = QDQQuantizer(
                copy_of(prepared),
                True,  # per channel
                setting.weight_bits == WEIGHT_BITS_SATURATING,
                QuantType.QInt8,
                QuantType.QUInt8,
                data,
                [],
                list(keep),
                list(setting.operators),
                {},
            )
            quantizer.quantize_model()
            return finished(quantizer.model, prepared)
    except QUANTIZER_ERRORS as error:
        raise PassFailed(
            "the model cannot be quantized", where=where, why=f"{type(error).__name__}: {error}"[:300]
        ) from error


def finished(quantized: ONNXModel, prepared: onnx.ModelProto) -> onnx.ModelProto:
    """In order, checked, and without what only tools read. Raises what the checker does.

    The quantizer's own sort does not see what branches read from the graph around them. Shapes of
    intermediate tensors and names of Q/DQ nodes are a tenth of a small model's bytes.
    """
    result: onnx.ModelProto = quantized.model
    in_order(result.graph)
    del result.graph.value_info[:]
    for node in result.graph.node:
        if node.op_type in _QDQ:
            node.name = ""
    checker.check_model(result)
    result.ir_version = prepared.ir_version
    result.producer_name, result.producer_version = "", ""
    return result


def rung(setting: Setting) -> Rung:
    return Rung(name=setting.name, kind=KIND, precision=INT8, make=lambda material: make(material, setting))
