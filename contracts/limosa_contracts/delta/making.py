"""The smallest delta between two blobs, or none if it does not pay (compiler 7)."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from limosa_contracts.delta.applying import apply_delta
from limosa_contracts.delta.limits import PERIOD_MAX
from limosa_contracts.delta.onnx_layout import find_in_onnx
from limosa_contracts.delta.pairing import Pair, pair_tensors
from limosa_contracts.delta.residuals import fold, predictions, ratios, word_planes
from limosa_contracts.delta.rest import Gather, holes_between, segments
from limosa_contracts.delta.symbols import Coded, encode_symbols
from limosa_contracts.delta.tensors_found import FLOAT_32, SIGNED_8, WIDTHS, Found, FoundTensor
from limosa_contracts.delta.wire import (
    BYTES,
    COPY,
    INNER_MIN,
    SCALED,
    TENSOR,
    WORDS_2,
    WORDS_4,
    ZSTD_PATCH,
    DeltaHead,
    Grid,
    Span,
    encode_table,
)
from limosa_contracts.delta.zstd_frames import THOROUGH_LEVEL, frame, full_size, patch_frame

_WORDS_OF_WIDTH: Final = {2: WORDS_2, 4: WORDS_4}
Layout = Callable[[bytes], Found]
"""Finds the tensors of a blob, none if it is of another format."""
LAYOUTS: Final[tuple[Layout, ...]] = (find_in_onnx,)


@dataclass(frozen=True, slots=True)
class _Written:
    span: Span
    frames: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        return sum(map(len, self.frames))


def make_delta(base: bytes, new: bytes) -> bytes | None:
    """The smallest way from `base` to `new`; None if `new` by itself, compressed, is not larger.

    Equal inputs give equal bytes with one version of zstd. What is returned has been applied once.
    """
    ways = [_tensor_delta(base, new), _patch_delta(base, new)]
    best = min((way for way in ways if way is not None), key=len)
    if len(best) >= min(len(new), full_size(new)) or apply_delta(base, best) != new:
        return None
    return best


def _patch_delta(base: bytes, new: bytes) -> bytes:
    return _container(base, new, ZSTD_PATCH, [])


def _tensor_delta(base: bytes, new: bytes) -> bytes | None:
    for layout in LAYOUTS:
        found, found_new = layout(base), layout(new)
        pairs = pair_tensors(found, found_new)
        if pairs:
            writer = _TensorWriter(base, new, found, found_new)
            return _container(base, new, TENSOR, _joined([writer.write(pair) for pair in pairs], base, new))
    return None


class _TensorWriter:
    def __init__(self, base: bytes, new: bytes, found: Found, found_new: Found) -> None:
        self._base, self._new = memoryview(base), memoryview(new)
        self._found, self._found_new = found, found_new
        self._base_names, self._names = found.by_name(), found_new.by_name()

    def write(self, pair: Pair) -> _Written:
        """The smallest way of one tensor."""
        plain = Span(kind=COPY, start=pair.new.start, base_start=pair.base.start, length=pair.new.length)
        old = self._base[plain.base_start : plain.base_stop]
        new = self._new[plain.start : plain.stop]
        if old == new:
            return _Written(plain)
        kind = _WORDS_OF_WIDTH.get(WIDTHS[pair.new.kind])
        if kind is not None and plain.length % WIDTHS[pair.new.kind] == 0:
            planes = word_planes(old, new, WIDTHS[pair.new.kind])
            return _with(replace(plain, kind=kind), [encode_symbols(plane) for plane in planes])
        ways = [_bytes_way(plain, old, new)]
        grid = self._grid(pair)
        if grid is not None:
            ways.append(self._scaled_way(replace(plain, kind=SCALED, grid=grid), old, new))
        return min(ways, key=lambda way: way.size)

    def _scaled_way(self, span: Span, old: memoryview, new: memoryview) -> _Written:
        grid = span.grid
        assert grid is not None
        size = 4 * grid.channels
        ratio = ratios(
            self._base[grid.base_scales : grid.base_scales + size],
            self._new[grid.scales : grid.scales + size],
        )
        target = np.frombuffer(new, np.uint8)
        residual = np.empty(len(target), np.uint8)
        for start, expected in predictions(np.frombuffer(old, np.uint8), grid, ratio):
            stop = start + len(expected)
            np.subtract(target[start:stop], expected, out=residual[start:stop])
        return _with(span, [encode_symbols(fold(residual))])

    def _grid(self, pair: Pair) -> Grid | None:
        """The scales of weights, if both blobs have them in the same form."""
        note, note_new = (
            self._found.quantized.get(pair.base.name),
            self._found_new.quantized.get(pair.new.name),
        )
        if pair.new.kind != SIGNED_8 or note is None or note_new is None or note.axis != note_new.axis:
            return None
        old, new = self._base_names.get(note.scale), self._names.get(note_new.scale)
        if old is None or new is None or old.length != new.length:
            return None
        return _grid_of(pair.new, old, new, axis=note.axis)


def _grid_of(weights: FoundTensor, old: FoundTensor, new: FoundTensor, *, axis: int) -> Grid | None:
    if old.kind != FLOAT_32 or new.kind != FLOAT_32:
        return None
    channels = new.length // 4
    if channels == 1:
        inner = weights.length
    elif -len(weights.shape) <= axis < len(weights.shape) and weights.shape[axis] == channels:
        axis %= len(weights.shape)
        inner = 1
        for size in weights.shape[axis + 1 :]:
            inner *= size
    else:
        return None
    if not inner or channels > PERIOD_MAX or (inner < INNER_MIN and channels * inner > PERIOD_MAX):
        return None
    if weights.length % (channels * inner):
        return None
    return Grid(channels=channels, inner=inner, base_scales=old.start, scales=new.start)


def _bytes_way(plain: Span, old: memoryview, new: memoryview) -> _Written:
    residual = np.frombuffer(new, np.uint8) - np.frombuffer(old, np.uint8)
    return _with(replace(plain, kind=BYTES), [encode_symbols(fold(residual))])


def _with(span: Span, streams: Sequence[Coded]) -> _Written:
    numbers = tuple(number for stream in streams for number in stream.numbers)
    return _Written(
        replace(span, numbers=numbers), tuple(data for stream in streams for data in stream.frames)
    )


def _joined(written: Sequence[_Written], base: bytes, new: bytes) -> list[_Written]:
    """Copies become one where the bytes between them are equal too, and no other span has those."""
    starts = sorted(item.span.base_start for item in written)
    result: list[_Written] = []
    for item in written:
        last = result[-1].span if result else None
        if last is not None and _continues(last, item.span, starts, base, new):
            result[-1] = _Written(replace(last, length=item.span.stop - last.start))
        else:
            result.append(item)
    return result


def _continues(last: Span, span: Span, starts: Sequence[int], base: bytes, new: bytes) -> bool:
    if last.kind != COPY or span.kind != COPY or last.base_stop > span.base_start:
        return False
    if bisect_left(starts, last.base_stop) != bisect_left(starts, span.base_start):
        return False
    return new[last.stop : span.start] == base[last.base_stop : span.base_start]


def _container(base: bytes, new: bytes, codec: int, written: Sequence[_Written]) -> bytes:
    spans = [item.span for item in written]
    rest = _rest_frames(base, new, spans)
    table = encode_table(spans, [len(data) for data in rest])
    packed = frame(table)
    head = DeltaHead(
        codec=codec,
        base_bytes=len(base),
        base_sha256=hashlib.sha256(base).hexdigest(),
        result_bytes=len(new),
        result_sha256=hashlib.sha256(new).hexdigest(),
        table_packed=len(packed),
        table_bytes=len(table),
    )
    return b"".join([head.encode(), packed, *rest, *(data for item in written for data in item.frames)])


def _rest_frames(base: bytes, new: bytes, spans: Sequence[Span]) -> list[bytes]:
    base_spans = sorted((span.base_start, span.base_stop) for span in spans)
    rest = Gather(memoryview(new), holes_between([(span.start, span.stop) for span in spans], len(new)))
    base_rest = Gather(memoryview(base), holes_between(base_spans, len(base)))
    return [
        patch_frame(rest.read(start, stop), base_rest.read(seen, seen_stop), level=THOROUGH_LEVEL)
        for start, stop, seen, seen_stop in segments(len(rest), len(base_rest))
    ]
