"""Byte symbols that are mostly small, packed so that a Huffman coder comes near their entropy.

A Huffman code spends at least one bit per symbol. So several symbols share one byte, in a number
system of `radix` digits whose last digit says "escaped, the value is in the other stream". Where
nearly all symbols are 0, the distances between the others are coded instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.delta.errors import refuse
from limosa_contracts.delta.limits import CHUNK
from limosa_contracts.delta.varints import VarintReader
from limosa_contracts.delta.zstd_frames import FrameReader, symbol_frame

Bytes: TypeAlias = npt.NDArray[np.uint8]

PLAIN, RADIX_4, RADIX_6, RADIX_16, GAPS = range(5)
_DIGITS: Final = {RADIX_4: (4, 4), RADIX_6: (6, 3), RADIX_16: (16, 2)}  # (radix, symbols in a byte)
_LONG_GAP: Final = 255  # "so many zeros and no symbol"
_SPARSE: Final = 0.25  # at most this share of other symbols is coded by distances


@dataclass(frozen=True, slots=True)
class Coded:
    """`numbers` go into the table of a delta, `frames` behind it."""

    numbers: tuple[int, ...]
    frames: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.frames)) + 2 * len(self.numbers)


class SymbolSource(Protocol):
    def read(self, count: int) -> Bytes: ...
    def end(self) -> None: ...


def encode_symbols(symbols: Bytes) -> Coded:
    """The smallest way that the histogram promises, and that of distances if there are many zeros."""
    packed = _pack(symbols, _best_mode(symbols))
    others = int(np.count_nonzero(symbols))
    if others <= _SPARSE * len(symbols):
        return min(packed, _encode_gaps(symbols), key=lambda coded: coded.size)
    return packed


def read_symbols(numbers: VarintReader, frames: Frames, *, count: int) -> SymbolSource:
    """The reader of `count` symbols, by what the table says. Raises DeltaRefused."""
    mode = numbers.take(high=GAPS)
    if mode == GAPS:
        return _Gaps(numbers, frames, count=count)
    return _Packed(mode, numbers, frames, count=count)


class Frames:
    """Hands out the frames of a delta in order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> memoryview:
        if size > len(self._data) - self._at:
            raise refuse("a frame lies outside the delta")
        self._at += size
        return self._data[self._at - size : self._at]

    def end(self) -> None:
        if self._at != len(self._data):
            raise refuse("bytes follow the last frame")


def _best_mode(symbols: Bytes) -> int:
    """The mode with the least entropy, of joint bytes and escapes together."""
    costs = {PLAIN: _entropy(np.bincount(symbols, minlength=256))}
    for mode, (radix, _) in _DIGITS.items():
        joint, escaped = _join(symbols, mode)
        escapes = _entropy(np.bincount(escaped, minlength=256)) if len(escaped) else 0.0
        costs[mode] = _entropy(np.bincount(joint, minlength=radix)) + escapes
    return min(costs, key=lambda mode: costs[mode])


def _entropy(counts: npt.NDArray[np.intp]) -> float:
    """Bits of all symbols with these counts; never under a bit each for the likeliest, as Huffman's."""
    total = int(counts.sum())
    if not total:
        return 0.0
    some = counts[counts > 0].astype(np.float64)
    bits = np.log2(total / some)
    return float((some * np.maximum(bits, 1.0)).sum()) if len(some) > 1 else 0.0


def _join(symbols: Bytes, mode: int) -> tuple[Bytes, Bytes]:
    """(bytes of several digits, symbols that are no digit)."""
    radix, width = _DIGITS[mode]
    padded = np.zeros(-(-len(symbols) // width) * width, np.uint8)
    np.minimum(symbols, radix - 1, out=padded[: len(symbols)])
    rows = padded.reshape(-1, width)
    joint = np.zeros(len(rows), np.uint8)
    for column in range(width):
        joint *= np.uint8(radix)
        joint += rows[:, column]
    return joint, symbols[symbols >= radix - 1]


def _pack(symbols: Bytes, mode: int) -> Coded:
    if mode == PLAIN:
        body = symbol_frame(symbols.tobytes())
        return Coded((PLAIN, len(body)), (body,))
    joint, escaped = _join(symbols, mode)
    frames = (symbol_frame(joint.tobytes()), symbol_frame(escaped.tobytes()))
    return Coded((mode, len(frames[0]), len(escaped), len(frames[1])), frames)


def _encode_gaps(symbols: Bytes) -> Coded:
    places = np.flatnonzero(symbols)
    zeros = np.diff(places, prepend=-1) - 1
    longs = zeros // _LONG_GAP
    steps = np.full(int(longs.sum()) + len(places), _LONG_GAP, np.uint8)
    steps[np.cumsum(longs + 1) - 1] = (zeros % _LONG_GAP).astype(np.uint8)
    body = symbol_frame(steps.tobytes())
    values = symbols[places] - np.uint8(1)
    packed = _pack(values, _best_mode(values))
    numbers = (GAPS, len(steps), len(body), len(places), *packed.numbers)
    return Coded(numbers, (body, *packed.frames))


class _Packed:
    """Symbols of a radix mode, or plain ones."""

    def __init__(self, mode: int, numbers: VarintReader, frames: Frames, *, count: int) -> None:
        self._count = count
        self._left = count
        self._body = FrameReader(frames.take(numbers.take()))
        self._radix, self._width = _DIGITS.get(mode, (0, 1))
        self._ready = np.empty(0, np.uint8)
        self._escapes = 0
        if self._radix:
            self._escapes = numbers.take(high=count)
            self._escaped = FrameReader(frames.take(numbers.take()))
            self._digits = _digits(self._radix, self._width)

    def read(self, count: int) -> Bytes:
        if count > self._left:
            raise refuse("more symbols are read than there are")
        self._left -= count
        if not self._radix:
            return np.frombuffer(self._body.read(count), np.uint8)
        missing = count - len(self._ready)
        joint = np.frombuffer(self._body.read(-(-missing // self._width) if missing > 0 else 0), np.uint8)
        if len(joint) and int(joint.max()) >= len(self._digits):
            raise refuse("a byte holds no digits")
        fresh = self._digits[joint].reshape(-1)
        symbols = np.concatenate([self._ready, fresh]) if len(self._ready) else fresh
        self._ready = symbols[count:]
        return self._unescape(symbols[:count])

    def end(self) -> None:
        if self._left or self._escapes or self._ready.any():
            raise refuse("a stream of symbols was not read to its end")
        self._body.end()
        if self._radix:
            self._escaped.end()

    def _unescape(self, symbols: Bytes) -> Bytes:
        places = np.flatnonzero(symbols == self._radix - 1)
        if len(places) > self._escapes:
            raise refuse("more symbols are escaped than announced")
        self._escapes -= len(places)
        result = symbols.copy()
        result[places] = np.frombuffer(self._escaped.read(len(places)), np.uint8)
        return result


class _Gaps:
    """Symbols that are mostly 0, from the distances between the others."""

    def __init__(self, numbers: VarintReader, frames: Frames, *, count: int) -> None:
        self._count = count
        self._start = 0  # of the next read
        self._steps = numbers.take(high=count)
        self._body = FrameReader(frames.take(numbers.take()))
        self._others = numbers.take(high=count)
        mode = numbers.take(high=RADIX_16)
        self._values = _Packed(mode, numbers, frames, count=self._others)
        self._last = -1  # where the steps that were read lead to
        self._places: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def read(self, count: int) -> Bytes:
        stop = self._start + count
        if stop > self._count:
            raise refuse("more symbols are read than there are")
        parts: list[npt.NDArray[np.int64]] = [self._places]
        while self._steps and self._last < stop:
            parts.append(self._more())
        places = np.concatenate(parts)
        cut = int(np.searchsorted(places, stop))
        result = np.zeros(count, np.uint8)
        result[places[:cut] - self._start] = self._values.read(cut) + np.uint8(1)
        self._places, self._start = places[cut:], stop
        return result

    def end(self) -> None:
        if self._start != self._count or self._steps or len(self._places):
            raise refuse("a stream of symbols was not read to its end")
        self._body.end()
        self._values.end()

    def _more(self) -> npt.NDArray[np.int64]:
        size = min(self._steps, CHUNK // 4)
        steps = np.frombuffer(self._body.read(size), np.uint8)
        self._steps -= size
        found = steps < _LONG_GAP
        reached: npt.NDArray[np.int64] = self._last + np.cumsum(steps.astype(np.int64) + found)
        self._last = int(reached[-1])
        if self._last >= self._count:
            raise refuse("a symbol lies outside its tensor")
        return reached[found]


def _digits(radix: int, width: int) -> Bytes:
    """Row of digits of each byte value."""
    values: Sequence[int] = range(radix**width)
    rows = [[value // radix ** (width - 1 - column) % radix for column in range(width)] for value in values]
    return np.array(rows, np.uint8)
