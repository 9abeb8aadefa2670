"""Base and delta in, the result out: exact or refused (compiler 7). Nothing in a delta is trusted."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np

from limosa_contracts.delta.errors import refuse
from limosa_contracts.delta.limits import CHUNK, DeltaLimits
from limosa_contracts.delta.residuals import add_words, predictions, ratios, unfold
from limosa_contracts.delta.rest import Gather, holes_between, segments
from limosa_contracts.delta.symbols import Frames, SymbolSource, read_symbols
from limosa_contracts.delta.varints import VarintReader
from limosa_contracts.delta.wire import (
    BYTES,
    COPY,
    HEAD_BYTES,
    SCALED,
    WORD_BYTES,
    ZSTD_PATCH,
    DeltaHead,
    Span,
    parse_span,
)
from limosa_contracts.delta.zstd_frames import FrameReader


def apply_delta(
    base: bytes | memoryview, delta: bytes | memoryview, *, limits: DeltaLimits | None = None
) -> bytearray:
    """The blob that `delta` was made for. Peak memory: base, delta, result and the working bytes.

    Raises DeltaRefused for every delta that does not give exactly the digest it announces.
    """
    limits = limits or DeltaLimits()
    if len(delta) > limits.delta_max_bytes:
        raise refuse(f"it has {len(delta)} bytes, at most {limits.delta_max_bytes} are accepted")
    head = DeltaHead.parse(delta, limits)
    old = memoryview(base)
    if len(old) != head.base_bytes or hashlib.sha256(old).hexdigest() != head.base_sha256:
        raise refuse("it is for another base")
    result = _Application(old, memoryview(delta), head, limits).run()
    if hashlib.sha256(result).hexdigest() != head.result_sha256:
        raise refuse("what it gives has another digest than announced")
    return result


class _Application:
    def __init__(self, base: memoryview, delta: memoryview, head: DeltaHead, limits: DeltaLimits) -> None:
        self._base = base
        self._head = head
        packed = delta[HEAD_BYTES : HEAD_BYTES + head.table_packed]
        table = FrameReader(packed)
        self._numbers = VarintReader(table.read(head.table_bytes))
        table.end()
        self._frames = Frames(delta[HEAD_BYTES + len(packed) :])
        count = self._numbers.take(high=limits.spans_max)
        self._rest_frames = [self._frames.take(self._numbers.take()) for _ in range(count)]
        self._spans = self._parse_spans(limits)
        self._check_ratio(len(delta), limits)

    def run(self) -> bytearray:
        result = bytearray(self._head.result_bytes)
        out = memoryview(result)
        self._fill_rest(out)
        scaled_last = sorted(self._spans, key=lambda item: item[0].kind == SCALED)
        for span, sources in scaled_last:  # the scales may lie in spans after the weights
            self._fill(span, sources, out)
            sources.clear()  # and their buffers
        return result

    def _parse_spans(self, limits: DeltaLimits) -> list[tuple[Span, list[SymbolSource]]]:
        spans: list[tuple[Span, list[SymbolSource]]] = []
        before: Span | None = None
        count = self._numbers.take(high=limits.spans_max)
        if self._head.codec == ZSTD_PATCH and count:
            raise refuse("a patch has no spans")
        for _ in range(count):
            before = parse_span(self._numbers, before, self._head)
            width = 0 if before.kind == COPY else WORD_BYTES.get(before.kind, 1)
            symbols = before.length // max(1, width)
            sources = [read_symbols(self._numbers, self._frames, count=symbols) for _ in range(width)]
            spans.append((before, sources))
        self._numbers.end()
        self._frames.end()
        return spans

    def _check_ratio(self, delta_bytes: int, limits: DeltaLimits) -> None:
        """A few bytes must not make a device write a gigabyte that it did not have."""
        copied = sum(span.length for span, _ in self._spans)
        if self._head.result_bytes - copied > limits.ratio_max * delta_bytes:
            raise refuse("it would give far more bytes than it holds")

    def _fill_rest(self, out: memoryview) -> None:
        spans = [span for span, _ in self._spans]
        rest = Gather(out, holes_between([(span.start, span.stop) for span in spans], len(out)))
        base_spans = sorted((span.base_start, span.base_stop) for span in spans)
        if any(after[0] < before[1] for before, after in pairwise(base_spans)):
            raise refuse("spans of the base overlap")
        base_rest = Gather(self._base, holes_between(base_spans, len(self._base)))
        plan = list(segments(len(rest), len(base_rest)))
        if len(plan) != len(self._rest_frames):
            raise refuse("the rest has another number of frames than it needs")
        for (start, stop, seen, seen_stop), data in zip(plan, self._rest_frames, strict=True):
            frame = FrameReader(data, dictionary=base_rest.read(seen, seen_stop))
            for piece in rest.pieces(start, stop):
                for at in range(0, len(piece), CHUNK):
                    size = min(CHUNK, len(piece) - at)
                    piece[at : at + size] = frame.read(size)
            frame.end()

    def _fill(self, span: Span, sources: list[SymbolSource], out: memoryview) -> None:
        base = self._base[span.base_start : span.base_stop]
        target = out[span.start : span.stop]
        if span.kind == COPY:
            target[:] = base
        elif span.kind == BYTES:
            _add_bytes(base, sources[0], target)
        elif span.kind == SCALED:
            self._add_scaled(span, sources[0], out)
        else:
            _add_words(base, sources, target)
        for source in sources:
            source.end()

    def _add_scaled(self, span: Span, source: SymbolSource, out: memoryview) -> None:
        grid = span.grid
        assert grid is not None
        size = 4 * grid.channels
        ratio = ratios(
            self._base[grid.base_scales : grid.base_scales + size], out[grid.scales : grid.scales + size]
        )
        base = np.frombuffer(self._base[span.base_start : span.base_stop], np.uint8)
        target = np.frombuffer(out[span.start : span.stop], np.uint8)
        for start, expected in predictions(base, grid, ratio):
            residual = unfold(source.read(len(expected)))
            np.add(expected, residual, out=target[start : start + len(expected)])


def _add_bytes(base: memoryview, source: SymbolSource, out: memoryview) -> None:
    old, target = np.frombuffer(base, np.uint8), np.frombuffer(out, np.uint8)
    for start in range(0, len(old), CHUNK):
        piece = old[start : start + CHUNK]
        np.add(piece, unfold(source.read(len(piece))), out=target[start : start + CHUNK])


def _add_words(base: memoryview, sources: list[SymbolSource], out: memoryview) -> None:
    dtype = np.dtype(f"<u{len(sources)}")
    old, target = np.frombuffer(base, dtype), np.frombuffer(out, dtype)
    for start in range(0, len(old), CHUNK // 4):
        piece = old[start : start + CHUNK // 4]
        planes = [source.read(len(piece)) for source in sources]
        add_words(piece, planes, out=target[start : start + len(piece)])
