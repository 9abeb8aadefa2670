"""Unsigned LEB128, seven bits a byte, lowest first: of windows, of deltas, of the lengths of MQTT 5."""

from __future__ import annotations

from collections.abc import Iterable


def encode_varints(values: Iterable[int]) -> bytes:
    """The numbers one after the other, each of 0 and more; the caller sees to that, and to the largest.

    >>> encode_varints([1, 300]).hex()
    '01ac02'
    """
    out = bytearray()
    for value in values:
        rest = value
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)
