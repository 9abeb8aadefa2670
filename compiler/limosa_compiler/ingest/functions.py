"""Functions that a model brings along are written out; operators of other libraries are refused."""

from __future__ import annotations

import onnx
from onnx import inliner

from limosa_compiler.errors import CustomOperator, NotAModel
from limosa_compiler.graph_walk import nodes, with_nested
from limosa_compiler.ingest.parsing import STANDARD_DOMAINS
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import Context, PassReport, reported
from limosa_contracts.errors import TooLarge


def refuse_custom_operators(
    model: onnx.ModelProto, context: Context, /
) -> tuple[onnx.ModelProto, PassReport]:
    """Functions that the model brings along are inlined; other domains need a library on the device."""
    if model.functions:
        _refuse_bomb(model, context)
    result = inliner.inline_local_functions(model) if model.functions else model
    foreign = {
        f"{node.domain}::{node.op_type}" for node in nodes(result) if node.domain not in STANDARD_DOMAINS
    }
    custom = sorted(foreign - context.operators)
    if custom:
        raise CustomOperator(
            "the model uses operators that devices do not have",
            where=context.where,
            why=", ".join(custom[:8]),
            hint=f"if devices' onnxruntime has it: operators = [{', '.join(map(repr, custom[:4]))}]",
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
