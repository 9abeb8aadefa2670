"""Ranges of every activation, from one stream of calibration rows (compiler 2.3).

Two passes over the stream: extremes first, of every value; then histograms between them, of values
spread evenly over each row. Memory does not grow with the number of rows, which that of onnxruntime's
own calibrators does, nor with the size of a row's activations: where all of them together are too
large, they are looked at a group at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, shape_inference

from limosa_compiler.arrays import Array
from limosa_compiler.calibration.activation_sizes import bytes_of_rows
from limosa_compiler.calibration.range_table import LEAST_ERROR, SHARES, RangeTable, TensorRange
from limosa_compiler.errors import DataMismatch
from limosa_compiler.graph_walk import fed_inputs
from limosa_compiler.limits import LIMITS
from limosa_compiler.passes import copy_of
from limosa_compiler.running.runner import RUNS_AT_ONCE, Runner, in_parallel
from limosa_compiler.running.runs import Runs

HISTOGRAM_BINS: Final = 2048
_TAILS: Final = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # of the values, at either side
VALUES_PER_ROW: Final = 16_384  # of one tensor, that a histogram counts; extremes are of all values
VERSION: Final = 3  # of what is computed here: a cached table of another version is not used
Stream = Callable[[int], Iterable[Mapping[str, Array]]]
"""Batches of at most so many rows; the same rows each time it is called."""
Load = Callable[[bytes], Runs]
"""Makes a runner of an instrumented model."""


def unoptimized(model: bytes) -> Runs:
    return Runner(model, optimize=False, what="calibration")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Tensors that are looked at together, by one session."""

    names: tuple[str, ...]
    runner: Runs
    rows: int  # per batch


def calibrate(model: onnx.ModelProto, stream: Stream, *, load: Load = unoptimized) -> RangeTable:
    """Raises ModelRefused; DataMismatch if an activation is never finite."""
    names = activations(model)
    first = next(iter(stream(1)))
    sizes = bytes_of_rows(model, {name: array[:1] for name, array in first.items()}, names)
    minmax: dict[str, TensorRange] = {}
    counts: dict[str, Array] = {}
    for group_names in _grouped(names, sizes):
        size = max(1, sum(sizes[name] for name in group_names))
        runner = load(_exposing(model, group_names).SerializeToString())
        rows = max(1, min(runner.batch_rows, LIMITS.activation_bytes // (RUNS_AT_ONCE * size)))
        group = _Group(names=group_names, runner=runner, rows=rows)
        minmax |= _extremes(group, stream)
        counts |= _histograms(group, stream, minmax)
    cut = {
        label: {name: cut_tails(counts[name], minmax[name], share=share) for name in sorted(names)}
        for label, share in SHARES.items()
    }
    cut[LEAST_ERROR] = {name: least_error(counts[name], minmax[name]) for name in sorted(names)}
    return RangeTable(minmax={name: minmax[name] for name in sorted(names)}, cut=cut)


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


def least_error(counts: Array, span: TensorRange) -> TensorRange:
    """Of ranges that cut some share of either tail, the one that 8 bits represent with least squared error.

    Inside, a value is rounded to one of 255 steps (step² / 12); outside, it is off by its distance. Zero
    is within every range and is represented exactly, so the values at zero count for nothing.
    """
    total = int(counts.sum())
    if total == 0 or not span.high > span.low:
        return span
    edges = np.linspace(span.low, span.high, len(counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    width = (span.high - span.low) / len(counts)
    weights = np.where(np.abs(centres) <= width, 0, counts).astype(np.float64)
    cuts = [cut_tails(counts, span, share=1 - 2 * share) for share in _TAILS]
    best, error = span, np.inf
    for low in sorted({min(item.low, 0.0) for item in cuts}):
        for high in sorted({max(item.high, 0.0) for item in cuts}, reverse=True):
            step = (high - low) / 255
            off = np.maximum(np.maximum(low - centres, centres - high), 0.0)
            found = float((weights * np.where(off > 0, off**2, step**2 / 12)).sum())
            if high > low and found < error:
                best, error = TensorRange(low=low, high=high), found
    return best


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


def _extremes(group: _Group, stream: Stream) -> dict[str, TensorRange]:
    found: dict[str, TensorRange] = {}
    for name, values, _ in _values(group, stream):
        finite = _finite(values)
        if not finite.size:
            continue
        low, high = float(finite.min()), float(finite.max())
        if known := found.get(name):
            low, high = min(low, known.low), max(high, known.high)
        found[name] = TensorRange(low=low, high=high)
    missing = [name for name in group.names if name not in found]
    if missing:
        raise DataMismatch("calibration gives no finite values", where=missing[0])
    return found


def _histograms(group: _Group, stream: Stream, minmax: Mapping[str, TensorRange]) -> dict[str, Array]:
    counts: dict[str, Array] = {name: np.zeros(HISTOGRAM_BINS, np.int64) for name in group.names}
    for name, values, rows in _values(group, stream):
        span = minmax[name]
        if span.high > span.low:
            counts[name] += histogram(_spread(values, rows), span)
    return counts


def histogram(values: Array, span: TensorRange) -> Array:
    """Counts [HISTOGRAM_BINS] of finite values; several times as fast as numpy's, for float32."""
    scale = np.float64(HISTOGRAM_BINS) / (np.float64(span.high) - np.float64(span.low))
    bins = ((_finite(values).astype(np.float64) - span.low) * scale).astype(np.int64)
    return np.bincount(np.clip(bins, 0, HISTOGRAM_BINS - 1), minlength=HISTOGRAM_BINS)


def _spread(values: Array, rows: int) -> Array:
    """At most VALUES_PER_ROW of each row, by an odd stride that no layout's period divides often."""
    flat = values.reshape(rows, -1) if rows and values.size % rows == 0 else values.reshape(1, -1)
    step = -(-flat.shape[1] // VALUES_PER_ROW)
    return np.ascontiguousarray(flat[:, :: step + (1 - step % 2)]).reshape(-1)


def _finite(values: Array) -> Array:
    flat = values.reshape(-1)
    # A sum is finite unless a value is not (or it overflows, which only costs the second look).
    with np.errstate(over="ignore", invalid="ignore"):
        return flat if np.isfinite(flat.sum(dtype=np.float64)) else flat[np.isfinite(flat)]


def _values(group: _Group, stream: Stream) -> Iterator[tuple[str, Array, int]]:
    """(tensor, its values, rows of the batch), tensor by tensor, batch by batch; each dropped at once."""
    counts: deque[int] = deque()

    def counted() -> Iterator[Mapping[str, Array]]:
        for batch in stream(group.rows):
            counts.append(len(next(iter(batch.values()))))
            yield batch

    for outputs in in_parallel(group.runner.run, counted()):
        rows = counts.popleft()
        for name in group.names:
            yield name, np.asarray(outputs.pop(name)), rows


def _grouped(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """In graph order, each group's activations of one row within the limit, or one tensor alone."""
    group: list[str] = []
    total = 0
    for name in names:
        if group and total + sizes[name] > LIMITS.activation_bytes:
            yield tuple(group)
            group, total = [], 0
        group.append(name)
        total += sizes[name]
    if group:
        yield tuple(group)


def _exposing(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """With these outputs and no others, so that nothing else is kept while it runs."""
    result = copy_of(model)
    del result.graph.output[:]
    result.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    return result
