"""Structured pruning: whole output channels go, and what reads them loses the same (compiler 2.4).

Exact bookkeeping: the pruned model answers as one in which those channels are zero all the way to the
next layer. Channels with the smallest weights go; nothing is trained afterwards, so a loss is expected,
and the gate says whether it is too large.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import shape_inference

from limosa_compiler.arrays import Array
from limosa_compiler.errors import PassFailed
from limosa_compiler.passes import Context, PassReport, copy_of, reported
from limosa_compiler.processing.names import is_processing
from limosa_compiler.pruning.chains import Blocked, Chain, Graph, chain_of
from limosa_compiler.pruning.weights import Constants, kept_count
from limosa_compiler.recipe.prune import Norm


def prune_structured(
    model: onnx.ModelProto, context: Context, /, *, share: float, norm: Norm = Norm.L1
) -> tuple[onnx.ModelProto, PassReport]:
    """`share` of the output channels of every layer where that is exact. Raises PassFailed if none is."""
    result = copy_of(model)
    graph = Graph(result)
    removed = 0
    blocked: list[str] = []
    pruned: list[str] = []
    for layer in graph.nodes:
        if layer.op_type not in ("Conv", "Gemm", "MatMul") or is_processing(layer.name):
            continue
        try:
            chain = chain_of(graph, layer)
        except Blocked as why:
            blocked.append(f"{layer.name}: {why}")
            continue
        keep = strongest(_norms(graph.own(chain.weights), chain.axis, norm), share=share)
        _take(graph.constants, chain, keep)
        _regroup(result, chain, len(keep))
        removed += chain.channels - len(keep)
        pruned.append(layer.name)
    if not removed:
        raise PassFailed(
            "no channel can be taken out",
            where=context.where,
            why="; ".join(blocked)[:500] or "the model has no layers of weights",
        )
    graph.constants.store()
    try:
        after = _checked(result)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise PassFailed(
            "the pruned model is not valid", where=context.where, why=str(error)[:300]
        ) from error
    return _reported(model, after, removed, pruned, blocked)


def strongest(norms: Array, *, share: float) -> Array:
    """Places of those that stay, in their order; equal ones: the first stay.

    >>> strongest(np.array([3.0, 1.0, 2.0, 1.0]), share=0.5).tolist()
    [0, 2]
    """
    order = np.argsort(-norms, kind="stable")
    return np.sort(order[: kept_count(len(norms), share)])


def _norms(weights: Array, axis: int, norm: Norm) -> Array:
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)
    return np.asarray(np.linalg.norm(rows, ord=1 if norm is Norm.L1 else 2, axis=1))


def _take(constants: Constants, chain: Chain, keep: Array) -> None:
    places = [(chain.weights, chain.axis, 1), *((edit.name, edit.axis, edit.repeats) for edit in chain.edits)]
    for name, axis, repeats in places:
        array = constants.get(name)
        assert array is not None, "the walk has read it"
        index = (keep[:, None] * repeats + np.arange(repeats)).ravel()
        constants.put(name, np.take(array, index, axis=axis))


def _regroup(model: onnx.ModelProto, chain: Chain, channels: int) -> None:
    """Convolutions that work channel by channel have as many groups as channels."""
    for node in model.graph.node:
        if node.name in chain.depthwise:
            for attribute in node.attribute:
                if attribute.name == "group":
                    attribute.i = channels


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the shapes of before. Raises what onnx raises if those of now do not agree."""
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    shape_inference.infer_shapes(model, strict_mode=True)
    return model


def _reported(
    before: onnx.ModelProto, after: onnx.ModelProto, removed: int, pruned: list[str], blocked: list[str]
) -> tuple[onnx.ModelProto, PassReport]:
    ratio = after.ByteSize() / before.ByteSize()
    note = f"{removed} channels of {len(pruned)} layers taken out: {ratio:.2f} of the size"
    if blocked:
        note += f"; {len(blocked)} layers keep theirs ({blocked[0][:120]})"
    return reported("prune_structured", before, after, changed=removed, note=note)
