"""First passes: what comes in is refused for a reason, or becomes a model that devices load.

Each is a trap that a real model fell into (compiler 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
from onnx import TensorProto, checker, inliner, numpy_helper, version_converter

from limosa_compiler.errors import CustomOperator, ExternalData, NotAModel, UnsupportedVersion
from limosa_compiler.graph_walk import (
    fed_inputs,
    graphs,
    initializer_names,
    nodes,
    tensors,
    with_nested,
)
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import Context, Pass, PassReport, copy_of, reported
from limosa_contracts.errors import TooLarge

IR_MIN: Final = 8
IR_MAX: Final = 10
OPSET_MIN: Final = 17
OPSET_MAX: Final = 21
OPSET_OLDEST: Final = 7  # older ones are not converted
STANDARD_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
_RE_EXPORT: Final = f"export it with opset_version={OPSET_MIN} to {OPSET_MAX}; torch.onnx.export takes that"


def parse_model(data: bytes, *, where: str) -> onnx.ModelProto:
    """Raises NotAModel, TooLarge."""
    if len(data) > LIMITS.model_max_bytes:
        raise TooLarge("the model is too large", where=where, why=f"{len(data)} bytes")
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError) as error:
        raise NotAModel("this is not an ONNX file", where=where, why=str(error)[:200]) from error
    if not model.ir_version or not model.graph.node:
        raise NotAModel("this is not an ONNX model", where=where, why="it has no IR version, or no nodes")
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operator set, 0 if the model names none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def refuse_external_data(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Weights in other files would be read by name from wherever the model lies (trust 7.2)."""
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ExternalData(
                "the model keeps weights in other files", where=context.where, why=repr(tensor.name[:120])
            )
    return reported("refuse_external_data", model, model)


def pin_versions(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Opset 17 to 21 and IR 8 to 10: onnx writes newer ones than runtimes on devices load."""
    opset = opset_of(model)
    if model.ir_version > IR_MAX or opset > OPSET_MAX:
        raise UnsupportedVersion(
            "the model is newer than what devices load",
            where=context.where,
            why=f"it has opset {opset} and IR {model.ir_version}; at most {OPSET_MAX} and {IR_MAX} are taken",
            hint=_RE_EXPORT,
        )
    if opset < OPSET_OLDEST:
        raise UnsupportedVersion(
            "the model is too old to be converted",
            where=context.where,
            why=f"it has opset {opset}; {OPSET_OLDEST} is the oldest",
            hint=_RE_EXPORT,
        )
    result = copy_of(model)
    if opset < OPSET_MIN:
        try:
            result = version_converter.convert_version(_with_ir(result), OPSET_MIN)
        except RuntimeError as error:
            raise UnsupportedVersion(
                f"the model cannot be converted from opset {opset} to {OPSET_MIN}",
                where=context.where,
                why=str(error)[:200],
                hint=_RE_EXPORT,
            ) from error
    result = _with_ir(result)
    note = f"opset {opset} -> {opset_of(result)}, IR {model.ir_version} -> {result.ir_version}"
    return reported("pin_versions", model, result, changed=int(opset < OPSET_MIN), note=note)


def check_model(model: onnx.ModelProto, context: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """onnx's own checker."""
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise NotAModel(
            "the model is not valid ONNX", where=context.where, why=" ".join(str(error).split())[:300]
        ) from error
    return reported("check_model", model, model)


def refuse_custom_operators(
    model: onnx.ModelProto, context: Context, /
) -> tuple[onnx.ModelProto, PassReport]:
    """Functions that the model brings along are inlined; other domains need a library on the device."""
    if model.functions:
        _refuse_bomb(model, context)
    result = inliner.inline_local_functions(model) if model.functions else model
    custom = sorted(
        {f"{node.domain}::{node.op_type}" for node in nodes(result) if node.domain not in STANDARD_DOMAINS}
    )
    if custom:
        raise CustomOperator(
            "the model uses operators that devices do not have",
            where=context.where,
            why=", ".join(custom[:8]),
        )
    return reported("refuse_custom_operators", model, result, changed=len(model.functions))


def _refuse_bomb(model: onnx.ModelProto, context: Context) -> None:
    """Thirty functions that each call the one before twice are a file of 2 KB and a graph of 2^30 nodes."""
    functions = {(one.domain, one.name, one.overload): one for one in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size_of(node: onnx.NodeProto, depth: int) -> int:
        key = (node.domain, node.op_type, node.overload)
        if key not in functions:
            return 1
        if depth > LIMITS.function_depth_max:
            raise NotAModel("functions call one another too deeply", where=context.where, why=key[1][:120])
        if key not in sizes:
            sizes[key] = sum(size_of(inner, depth + 1) for inner in with_nested(functions[key].node))
        return sizes[key]

    size = sum(size_of(node, 0) for node in with_nested(model.graph.node))
    if size > LIMITS.nodes_max:
        raise TooLarge(
            "the model's functions make too large a graph",
            where=context.where,
            why=f"{size} nodes; at most {LIMITS.nodes_max} are taken",
        )


def drop_constant_inputs(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Initializers that old exporters also list as inputs are constants, and nothing else."""
    result = copy_of(model)
    fed = fed_inputs(result.graph)
    dropped = len(result.graph.input) - len(fed)
    del result.graph.input[:]
    result.graph.input.extend(fed_inputs(model.graph))
    return reported("drop_constant_inputs", model, result, changed=dropped)


def name_nodes(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """A name for every node, each once: unnamed ones make an exclusion list match the wrong set."""
    result = copy_of(model)
    taken = {node.name for node in nodes(result) if node.name}
    seen: set[str] = set()
    changed = 0
    for graph in graphs(result.graph):
        for position, node in enumerate(graph.node):
            if not node.name or node.name in seen:
                node.name = _free_name(f"{node.op_type}_{position}", taken)
                changed += 1
            seen.add(node.name)
            taken.add(node.name)
    return reported("name_nodes", model, result, changed=changed)


def flatten_gemm_bias(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Gemm biases [1, N] become [N]: per-channel quantization breaks on the former."""
    result = copy_of(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    changed = 0
    for node in result.graph.node:
        bias = constants.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is None or len(bias.dims) != 2 or bias.dims[0] != 1:
            continue
        name = _free_name(f"{bias.name}_flat", set(constants))
        flat = numpy_helper.from_array(numpy_helper.to_array(bias).reshape(-1), name)
        constants[name] = flat
        result.graph.initializer.append(flat)
        node.input[2] = name
        changed += 1
    return reported("flatten_gemm_bias", model, _without_unused(result), changed=changed)


def strip_notes(model: onnx.ModelProto, _: Context, /) -> tuple[onnx.ModelProto, PassReport]:
    """Documentation strings and metadata hold paths of the exporter's machine; devices need neither."""
    result = copy_of(model)
    result.doc_string = result.graph.doc_string = ""
    changed = len(result.metadata_props)
    del result.metadata_props[:]
    for node in nodes(result):
        changed += bool(node.doc_string) + len(node.metadata_props)
        node.doc_string = ""
        del node.metadata_props[:]
    return reported("strip_notes", model, result, changed=changed)


INGEST: Final[Sequence[Pass]] = (
    refuse_external_data,
    pin_versions,
    check_model,
    refuse_custom_operators,
    drop_constant_inputs,
    name_nodes,
    flatten_gemm_bias,
    strip_notes,
)


def _with_ir(model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = min(max(model.ir_version, IR_MIN), IR_MAX)
    return model


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    for name in sorted(initializer_names(model.graph) - used):
        for position, tensor in enumerate(model.graph.initializer):
            if tensor.name == name:
                del model.graph.initializer[position]
                break
    return model


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
