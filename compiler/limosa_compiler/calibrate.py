"""Ranges of every activation, from one stream of calibration rows (compiler 2.3).

Two passes over the stream: extremes first, then histograms between them. Memory does not grow with
the number of rows, which onnxruntime's own calibrators' does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, shape_inference

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.passes import copy_of
from limosa_compiler.runner import Runner
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue

HISTOGRAM_BINS: Final = 2048
Stream = Callable[[], Iterable[Mapping[str, Array]]]
"""Gives the same batches each time it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRange:
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTable:
    """By tensor name: extremes, and what is left when a share of values is cut off both tails."""

    minmax: Mapping[str, TensorRange]
    percentile: Mapping[str, TensorRange]
    share: float  # of values that `percentile` keeps, e.g. 0.999

    @property
    def digest(self) -> str:
        """64 hex digits; the table is an input of the build."""
        return sha256(encode_canonical(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "share": self.share,
            "minmax": {name: [item.low, item.high] for name, item in self.minmax.items()},
            "percentile": {name: [item.low, item.high] for name, item in self.percentile.items()},
        }


def calibrate(model: onnx.ModelProto, stream: Stream, *, share: float) -> RangeTable:
    """Raises ModelRefused; DataMismatch if an activation is never finite."""
    names = activations(model)
    runner = Runner(_exposing(model, names).SerializeToString(), optimize=False, what="calibration")
    minmax: dict[str, TensorRange] = {}
    for name, values in _values(runner, names, stream):
        low, high = float(values.min()), float(values.max())
        if known := minmax.get(name):
            low, high = min(low, known.low), max(high, known.high)
        minmax[name] = TensorRange(low=low, high=high)
    missing = [name for name in names if name not in minmax]
    if missing:
        raise DataMismatch("calibration gives no finite values", where=missing[0])
    counts = {name: np.zeros(HISTOGRAM_BINS, np.int64) for name in names}
    for name, values in _values(runner, names, stream):
        span = minmax[name]
        if span.high > span.low:
            counts[name] += np.histogram(values, HISTOGRAM_BINS, range=(span.low, span.high))[0]
    kept = {name: cut_tails(counts[name], minmax[name], share=share) for name in names}
    return RangeTable(minmax=minmax, percentile=kept, share=share)


def cut_tails(counts: Array, span: TensorRange, *, share: float) -> TensorRange:
    """The range that keeps `share` of the values, cut equally at both tails, on bin edges.

    >>> cut_tails(np.array([1, 98, 1, 0]), TensorRange(low=0.0, high=4.0), share=0.98)
    TensorRange(low=1.0, high=2.0)
    """
    total = int(counts.sum())
    if total == 0 or not span.high > span.low:
        return span
    edges = np.linspace(span.low, span.high, len(counts) + 1)
    below = np.cumsum(counts)
    cut = total * (1 - share) / 2 * (1 + 1e-12)
    first = int(np.searchsorted(below, cut, side="right"))
    last = int(np.searchsorted(below, total - cut, side="left"))
    return TensorRange(low=float(edges[min(first, last)]), high=float(edges[last + 1]))


def activations(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of float32 inputs and node outputs of the main graph, in graph order."""
    inferred = shape_inference.infer_shapes(model)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input)
    }
    made = [name for node in model.graph.node for name in node.output if name and node.op_type != "Constant"]
    names = [value.name for value in fed_inputs(model.graph)] + made
    return tuple(name for name in names if types.get(name) == TensorProto.FLOAT)


def _exposing(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    result = copy_of(model)
    there = {value.name for value in result.graph.output}
    for name in names:
        if name not in there:
            result.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return result


def _values(runner: Runner, names: tuple[str, ...], stream: Stream) -> Iterable[tuple[str, Array]]:
    """(tensor, its finite values in one batch), tensor by tensor, batch by batch."""
    for batch in stream():
        outputs = runner.run(batch)
        for name in names:
            values = np.asarray(outputs[name]).ravel()
            finite = values[np.isfinite(values)]
            if finite.size:
                yield name, finite
