"""Candidates: fp32 as it came, and static int8 from each table of ranges (compiler 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx
from onnx import checker
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from limosa_compiler.calibrate import RangeTable, TensorRange
from limosa_compiler.errors import PassFailed
from limosa_compiler.passes import copy_of
from limosa_compiler.prepare import quiet_runtime

PERCENTILE_SHARE: Final = 0.999
# Its quantizer meets what it does not expect with whatever Python raises then.
_QUANTIZER_ERRORS: Final = (
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AssertionError,
    checker.ValidationError,
)
# What the quantizer knows; sorted, since a set's order would change the bytes.
_OPERATORS: Final = tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))


def static_int8(
    prepared: onnx.ModelProto, ranges: Mapping[str, TensorRange], *, where: str
) -> onnx.ModelProto:
    """QDQ, per channel, U8 activations, S8 weights. Raises PassFailed.

    onnxruntime's quantizer is given our ranges: no temporary files, no random names, same bytes.
    """
    data = TensorsData(
        CalibrationMethod.MinMax,
        {name: (np.float32(item.low), np.float32(item.high)) for name, item in ranges.items()},
    )
    try:
        with quiet_runtime():
            quantizer = QDQQuantizer(
                copy_of(prepared),
                True,  # per channel
                False,  # all 8 bits of weights
                QuantType.QInt8,
                QuantType.QUInt8,
                data,
                [],
                [],
                list(_OPERATORS),
                {},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
            result: onnx.ModelProto = quantizer.model.model
            checker.check_model(result)
    except _QUANTIZER_ERRORS as error:
        raise PassFailed(
            "the model cannot be quantized", where=where, why=f"{type(error).__name__}: {error}"[:300]
        ) from error
    result.ir_version = prepared.ir_version
    result.producer_name, result.producer_version = "", ""
    return result


def ladder(table: RangeTable) -> tuple[tuple[str, Mapping[str, TensorRange]], ...]:
    """Names and ranges of the int8 candidates, in the order in which equals are preferred."""
    return (("int8-minmax", table.minmax), ("int8-p99.9", table.percentile))
