"""Fields of a protobuf message, by position: what is needed to find tensors, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5


class NotProtobuf(ValueError):
    """The bytes are something else, or damaged; there is then nothing to align."""


@dataclass(frozen=True, slots=True)
class Field:
    number: int
    wire: int
    value: int  # of a varint
    start: int  # of the content, for BYTES and fixed ones
    stop: int


def fields(data: memoryview, start: int, stop: int) -> Iterator[Field]:
    """The fields between two offsets, in order. Raises NotProtobuf."""
    at = start
    while at < stop:
        key, at = varint(data, at, stop)
        number, wire = key >> 3, key & 7
        value, begin = 0, at
        if wire == VARINT:
            value, at = varint(data, at, stop)
        elif wire == BYTES:
            size, begin = varint(data, at, stop)
            at = begin + size
        elif wire in (FIXED_32, FIXED_64):
            at += 4 if wire == FIXED_32 else 8
        else:
            raise NotProtobuf("a field is of an unknown wire type")
        if at > stop or number == 0:
            raise NotProtobuf("a field ends outside its message")
        yield Field(number, wire, value, begin, at)


def varint(data: memoryview, at: int, stop: int) -> tuple[int, int]:
    """(number, offset behind it)."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NotProtobuf("a number does not end")
