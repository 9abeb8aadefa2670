"""How large activations are, before anything runs: shapes inferred with the data's own sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import onnx
from onnx import shape_inference

from limosa_compiler.arrays import Array
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import copy_of

FLOAT_BYTES = 4


def bytes_of_rows(model: onnx.ModelProto, batch: Mapping[str, Array], names: Sequence[str]) -> dict[str, int]:
    """Bytes of each float tensor when the model runs on `batch`.

    A tensor whose shape cannot be inferred is taken to be as large as the largest that can.
    """
    known = _shapes(_with_sizes(model, batch))
    sizes = {name: FLOAT_BYTES * prod(shape) for name, shape in known.items()}
    largest = max((sizes[name] for name in names if name in sizes), default=0)
    given = max((array.nbytes for array in batch.values()), default=FLOAT_BYTES)
    return {name: sizes.get(name, max(largest, given)) for name in names}


def rows_that_fit(model: onnx.ModelProto, row: Mapping[str, Array]) -> int:
    """Rows of one run, 1 to LIMITS.batch_rows: so many that memory stays small beside the limit.

    `row`: one row of everything that the model takes. Runtimes reuse what is no longer needed, so the
    sum over all tensors is several times what is really held.
    """
    total = sum(FLOAT_BYTES * prod(shape) for shape in _shapes(_with_sizes(model, row)).values())
    return max(1, min(LIMITS.batch_rows, LIMITS.run_bytes // max(1, total)))


def _with_sizes(model: onnx.ModelProto, batch: Mapping[str, Array]) -> onnx.ModelProto:
    result = copy_of(model)
    del result.graph.value_info[:]  # written for whatever sizes the exporter saw
    for value in (*fed_inputs(result.graph),):
        if value.name in batch:
            del value.type.tensor_type.shape.dim[:]
            for size in batch[value.name].shape:
                value.type.tensor_type.shape.dim.add().dim_value = size
    for value in result.graph.output:
        value.type.tensor_type.ClearField("shape")
    return result


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    found: dict[str, tuple[int, ...]] = {}
    for value in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return found
