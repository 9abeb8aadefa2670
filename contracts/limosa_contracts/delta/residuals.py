"""What a tensor became, given what it was: predictions and residuals, exact on every machine.

Quantized weights follow their scale: q' is near q * scale / scale'. The ratio is rounded to 16
fractional bits once, and from there on all is integer arithmetic modulo 2**8. Words are the bits of
floats (or integers): their differences modulo 2**16 or 2**32, small ones first, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.delta.limits import CHUNK
from limosa_contracts.delta.symbols import Bytes
from limosa_contracts.delta.wire import INNER_MIN, Grid

FRACTION_BITS: Final = 16
_ONE: Final = 1 << FRACTION_BITS
_RATIO_MAX: Final = 1 << 23  # 128 in fractional bits: with 8 bits of weight, 31 bits in all
Ratios: TypeAlias = npt.NDArray[np.int32]
Words: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]


def fold(residual: Bytes) -> Bytes:
    """0, 1, 2, 3, 4 … for 0, -1, 1, -2, 2 …, modulo 256."""
    sign = residual >> 7
    return np.asarray((residual << 1) ^ (np.uint8(0) - sign), np.uint8)


def unfold(symbols: Bytes) -> Bytes:
    return np.asarray((symbols >> 1) ^ (np.uint8(0) - (symbols & 1)), np.uint8)


def ratios(base_scales: bytes | memoryview, scales: bytes | memoryview) -> Ratios:
    """scale / scale' per channel, in 2**-16; 1 where a scale is not a positive number or the ratio is
    far from 1, which a prediction need not survive."""
    old = np.frombuffer(base_scales, "<f4").astype(np.float64)
    new = np.frombuffer(scales, "<f4").astype(np.float64)
    fine = np.isfinite(old) & np.isfinite(new) & (old > 0) & (new > 0)
    ratio = np.divide(old, new, out=np.ones_like(old), where=fine)
    fixed = np.rint(np.minimum(ratio, 2.0 * _RATIO_MAX) * _ONE)
    return np.where(fixed < _RATIO_MAX, fixed, _ONE).astype(np.int32)


def predictions(base: Bytes, grid: Grid, ratio: Ratios) -> Iterator[tuple[int, Bytes]]:
    """(first element, what is predicted from there on), piece by piece over the whole tensor."""
    if grid.inner < INNER_MIN:
        tile = np.repeat(ratio, grid.inner)
        step = max(1, CHUNK // len(tile)) * len(tile)
        for start in range(0, len(base), step):
            yield start, _scaled(base[start : start + step].reshape(-1, len(tile)), tile)
        return
    together = max(1, CHUNK // grid.inner)  # rows, of one scale each
    for first in range(0, len(base) // grid.inner, together):
        rows = base[first * grid.inner : (first + together) * grid.inner].reshape(-1, grid.inner)
        factors = ratio[np.arange(first, first + len(rows)) % grid.channels][:, None]
        for column in range(0, grid.inner, CHUNK):  # more than one piece only where a row is long
            yield first * grid.inner + column, _scaled(rows[:, column : column + CHUNK], factors)


def _scaled(base: Bytes, ratio: Ratios) -> Bytes:
    wide = base.view(np.int8).astype(np.int32)
    wide *= ratio
    wide += _ONE // 2
    wide >>= FRACTION_BITS
    return wide.astype(np.uint8).reshape(-1)


def word_planes(base: bytes | memoryview, new: bytes | memoryview, width: int) -> list[Bytes]:
    """Folded differences of words, lowest byte first, each byte of all words as a row."""
    dtype = np.dtype(f"<u{width}")
    difference = np.frombuffer(new, dtype) - np.frombuffer(base, dtype)
    folded = _fold_words(difference, width)
    rows = folded.view(np.uint8).reshape(-1, width)
    return [np.ascontiguousarray(rows[:, plane]) for plane in range(width)]


def add_words(base: Words, planes: list[Bytes], out: Words) -> None:
    """`out` from `base` and as many words of each plane."""
    width = len(planes)
    rows = np.empty((len(base), width), np.uint8)
    for plane, column in enumerate(planes):
        rows[:, plane] = column
    folded = rows.view(base.dtype).reshape(-1)
    one = base.dtype.type(1)
    difference = (folded >> one) ^ (base.dtype.type(0) - (folded & one))
    np.add(base, difference, out=out)


def _fold_words(difference: Words, width: int) -> Words:
    dtype = difference.dtype
    sign = difference >> dtype.type(8 * width - 1)
    folded: Words = (difference << dtype.type(1)) ^ (dtype.type(0) - sign)
    return folded
