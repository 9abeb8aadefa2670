"""Opset 17 to 21 and IR 8 to 10: what runtimes on devices load (compiler 2.1, 3)."""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto, defs, version_converter

from limosa_compiler.errors import UnsupportedVersion
from limosa_compiler.graph_walk import nodes, tensors
from limosa_compiler.ingest.parsing import opset_of
from limosa_compiler.passes import Context, PassReport, copy_of, reported

IR_MIN: Final = 8
IR_MAX: Final = 10
OPSET_MIN: Final = 17
OPSET_MAX: Final = 21
OPSET_OLDEST: Final = 7  # older ones are not converted
_NEWEST_TYPE: Final = TensorProto.INT4  # of IR 10; types with greater numbers came later
_RE_EXPORT: Final = f"export it with opset_version={OPSET_MIN} to {OPSET_MAX}; torch.onnx.export takes that"


def pin_versions(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Older and newer models are converted; what has no counterpart is refused by its operator.

    onnx 1.23 itself writes opset 28 and IR 14, and no released onnxruntime loads those.
    """
    opset = opset_of(model)
    if opset < OPSET_OLDEST:
        raise UnsupportedVersion(
            "the model is too old to be converted",
            where=context.where,
            why=f"it has opset {opset}; {OPSET_OLDEST} is the oldest",
            hint=_RE_EXPORT,
        )
    wanted = min(max(opset, OPSET_MIN), OPSET_MAX)
    result = copy_of(model)
    if wanted != opset:
        result = _converted(result, opset, wanted, context)
    if model.ir_version > IR_MAX:
        _refuse_new_types(result, context)
    result.ir_version = min(max(model.ir_version, IR_MIN), IR_MAX)
    note = f"opset {opset} -> {opset_of(result)}, IR {model.ir_version} -> {result.ir_version}"
    return reported("pin_versions", model, result, changed=int(wanted != opset), note=note)


def _converted(model: onnx.ModelProto, opset: int, wanted: int, context: Context) -> onnx.ModelProto:
    model.ir_version = max(model.ir_version, IR_MIN)  # the converter wants initializers that are no inputs
    if opset > defs.onnx_opset_version():
        raise _not_converted(opset, wanted, context, f"{defs.onnx_opset_version()} is the newest known here")
    try:
        result: onnx.ModelProto = version_converter.convert_version(model, wanted)
    except (RuntimeError, ValueError) as error:
        raise _not_converted(opset, wanted, context, " ".join(str(error).split())[:300]) from error
    unknown = sorted({node.op_type for node in nodes(result) if not _is_known(node, wanted)})
    if unknown:
        raise _not_converted(opset, wanted, context, f"opset {wanted} has no {', '.join(unknown[:8])}")
    return result


def _not_converted(opset: int, wanted: int, context: Context, why: str) -> UnsupportedVersion:
    return UnsupportedVersion(
        f"the model cannot be converted from opset {opset} to {wanted}",
        where=context.where,
        why=why,
        hint=_RE_EXPORT,
    )


def _is_known(node: onnx.NodeProto, opset: int) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return True
    try:
        defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError:
        # An unknown name altogether is the checker's to say, or a function of the model's own.
        return not defs.has(node.op_type, "")
    return True


def _refuse_new_types(model: onnx.ModelProto, context: Context) -> None:
    for tensor in tensors(model):
        if tensor.data_type > _NEWEST_TYPE:
            raise UnsupportedVersion(
                "the model holds numbers of a type that devices do not know",
                where=context.where,
                why=f"{tensor.name[:120]!r} is {TensorProto.DataType.Name(tensor.data_type)}",
                hint=_RE_EXPORT,
            )
