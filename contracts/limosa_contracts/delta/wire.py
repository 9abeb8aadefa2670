"""The container `limosa.delta/1`: a fixed head, a table of spans, frames.

    8 bytes   magic "LMSDELTA"
    u8        version, 1
    u8        codec: 1 zstd-patch (no spans), 2 tensor
    u64       bytes of the base            32 bytes  its sha256
    u64       bytes of the result          32 bytes  its sha256
    u32       working memory that applying needs, in bytes, beside base, delta and result
    u32       bytes of the table, packed   u32       unpacked
    table     one zstd frame of varints
    frames    those of the rest, then those of each span, in order; nothing follows
All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.delta.errors import refuse
from limosa_contracts.delta.limits import PERIOD_MAX, WORKING_BYTES, DeltaLimits
from limosa_contracts.delta.varints import VarintReader
from limosa_contracts.varints import encode_varints

MAGIC: Final = b"LMSDELTA"
VERSION: Final = 1
ZSTD_PATCH, TENSOR = 1, 2
CODECS: Final = {ZSTD_PATCH: "zstd-patch", TENSOR: "tensor"}
MEDIA_TYPE: Final = "application/vnd.limosa.delta.v1"
_HEAD: Final = struct.Struct("<8sBBQ32sQ32sIII")
HEAD_BYTES: Final = _HEAD.size

COPY, BYTES, SCALED, WORDS_2, WORDS_4 = range(5)
"""What a span of the result is, given a span of the base of the same length: the same bytes; bytes
plus residuals; signed 8-bit weights plus residuals, after the change of scale; words plus residuals."""
WORD_BYTES: Final = {WORDS_2: 2, WORDS_4: 4}
INNER_MIN: Final = 64
"""From so many elements per scale on, rows are scaled one by one; below, a whole period at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaHead:
    codec: int
    base_bytes: int
    base_sha256: str
    result_bytes: int
    result_sha256: str
    working_bytes: int = WORKING_BYTES
    table_packed: int
    table_bytes: int

    @property
    def codec_name(self) -> str:
        return CODECS[self.codec]

    @classmethod
    def parse(cls, data: bytes | memoryview, limits: DeltaLimits) -> Self:
        """From the first HEAD_BYTES. Raises DeltaRefused."""
        if len(data) < HEAD_BYTES:
            raise refuse("it is cut off")
        magic, version, codec, base, base_sha, result, result_sha, working, packed, table = _HEAD.unpack_from(
            data
        )
        if magic != MAGIC:
            raise refuse("it does not begin as one")
        if version != VERSION or codec not in CODECS:
            raise refuse(f"version {version} with codec {codec} is not known here")
        for what, value, most in (
            ("the base", base, limits.base_max_bytes),
            ("the result", result, limits.result_max_bytes),
            ("the working memory", working, limits.working_max_bytes),
            ("the table", table, limits.table_max_bytes),
        ):
            if value > most:
                raise refuse(f"{what} has {value} bytes, at most {most} are accepted")
        return cls(
            codec=codec,
            base_bytes=base,
            base_sha256=base_sha.hex(),
            result_bytes=result,
            result_sha256=result_sha.hex(),
            working_bytes=working,
            table_packed=packed,
            table_bytes=table,
        )

    def encode(self) -> bytes:
        return _HEAD.pack(
            MAGIC,
            VERSION,
            self.codec,
            self.base_bytes,
            bytes.fromhex(self.base_sha256),
            self.result_bytes,
            bytes.fromhex(self.result_sha256),
            self.working_bytes,
            self.table_packed,
            self.table_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How quantized weights repeat their float32 scales: element i has scale `i // inner % channels`."""

    channels: int
    inner: int
    base_scales: int  # byte offset of the array in the base
    scales: int  # in the result


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    kind: int
    start: int  # in the result
    base_start: int
    length: int  # bytes, of both
    grid: Grid | None = None
    numbers: tuple[int, ...] = ()  # of its streams of symbols, when it is written

    @property
    def stop(self) -> int:
        return self.start + self.length

    @property
    def base_stop(self) -> int:
        return self.base_start + self.length


def encode_table(spans: Sequence[Span], rest: Sequence[int]) -> bytes:
    """`rest`: the length of each frame of the rest. Spans are in the order of the result."""
    values: list[int] = [len(rest), *rest, len(spans)]
    end, base_end = 0, 0
    for span in spans:
        values += [span.kind, span.start - end, _zigzag(span.base_start - base_end), span.length]
        if span.grid is not None:
            grid = span.grid
            values += [grid.channels, grid.inner, grid.base_scales, grid.scales]
        values += span.numbers
        end, base_end = span.stop, span.base_stop
    return encode_varints(values)


def parse_span(numbers: VarintReader, before: Span | None, head: DeltaHead) -> Span:
    """The next span, within both blobs and after the one before. Raises DeltaRefused."""
    end, base_end = (before.stop, before.base_stop) if before else (0, 0)
    kind = numbers.take(high=WORDS_4)
    start = end + numbers.take(high=head.result_bytes)
    base_start = base_end + _unzigzag(numbers.take())
    length = numbers.take(high=head.base_bytes)
    if length == 0 or start + length > head.result_bytes:
        raise refuse("a span is empty or lies outside the result")
    if not 0 <= base_start <= head.base_bytes - length:
        raise refuse("a span lies outside the base")
    if length % WORD_BYTES.get(kind, 1):
        raise refuse("a span does not hold whole words")
    grid = _parse_grid(numbers, length, head) if kind == SCALED else None
    return Span(kind=kind, start=start, base_start=base_start, length=length, grid=grid)


def _parse_grid(numbers: VarintReader, length: int, head: DeltaHead) -> Grid:
    channels, inner = numbers.take(high=PERIOD_MAX), numbers.take()
    period = channels * inner
    if period == 0 or length % period or (inner < INNER_MIN and period > PERIOD_MAX):
        raise refuse("scales do not fit their tensor")
    base_scales, scales = numbers.take(), numbers.take()
    if base_scales + 4 * channels > head.base_bytes or scales + 4 * channels > head.result_bytes:
        raise refuse("scales lie outside a blob")
    return Grid(channels=channels, inner=inner, base_scales=base_scales, scales=scales)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -((value + 1) >> 1)
