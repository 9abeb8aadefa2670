"""Unstructured pruning: of each layer the weights nearest to zero become zero.

No runtime here skips zeros, so the model keeps its size and its speed. What gets smaller is what is sent:
zeros compress. The report says both.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx

from limosa_compiler.arrays import Array
from limosa_compiler.errors import PassFailed
from limosa_compiler.passes import Context, PassReport, copy_of, reported
from limosa_compiler.processing.names import is_processing
from limosa_compiler.pruning.weights import Constants, sent_bytes

_OPERATORS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def prune_magnitude(
    model: onnx.ModelProto, context: Context, /, *, share: float
) -> tuple[onnx.ModelProto, PassReport]:
    """`share` of the weights of every layer. Raises PassFailed if no layer has weights of its own."""
    result = copy_of(model)
    constants = Constants(result)
    layers = zeroed = 0
    for node in result.graph.node:
        if node.op_type not in _OPERATORS or is_processing(node.name):
            continue
        for name in node.input[:2]:
            weights = constants.get(name)
            if weights is None or not constants.is_own(name) or weights.dtype.kind != "f":
                continue
            pruned = without_smallest(weights, share=share)
            constants.put(name, pruned)
            layers += 1
            zeroed += int((pruned == 0).sum() - (weights == 0).sum())
    if not layers:
        raise PassFailed(
            "there is nothing to prune", where=context.where, why="no layer has weights of its own"
        )
    constants.store()
    before, after = sent_bytes(model), sent_bytes(result)
    note = (
        f"{zeroed} weights of {layers} layers are zero now: {after / before:.2f} of the size when sent "
        "compressed; as large and as fast as before on the device"
    )
    return reported("prune_magnitude", model, result, changed=zeroed, note=note)


def without_smallest(weights: Array, *, share: float) -> Array:
    """
    >>> without_smallest(np.array([3.0, -1.0, 2.0, 0.5]), share=0.5)
    array([3., 0., 2., 0.])
    """
    count = int(weights.size * share)
    order = np.argsort(np.abs(weights), axis=None, kind="stable")  # equal ones in their order: it repeats
    result = weights.copy()
    result.ravel()[order[:count]] = 0
    return result
