"""A list as one value of PostgreSQL's, ready to send: its arrays in the binary form of the protocol.

The driver writes lists in Python, element by element: half of what a batch of reports costs. Here each
kind of element has one way, which `struct` and `join` do (PostgreSQL's array_recv: dimensions, whether
there are NULLs, the element's type, then each element's length and bytes, in network order).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = struct.pack("!i", -1)
_LENGTH: Final = struct.Struct("!i").pack
_NUMBER: Final = struct.Struct("!iq").pack
_FLOAT: Final = struct.Struct("!id").pack
_SMALL: Final = struct.Struct("!ii").pack
_TRUTH: Final = struct.Struct("!i?").pack


class Packed(bytes):
    """An array's bytes. What it is of stands in the statement: `CAST(:ids AS TEXT[])`."""

    __slots__ = ()


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


psycopg.adapters.register_dumper(Packed, _PackedDumper)


def packed(kind: str, values: Sequence[Any]) -> Packed:
    """`kind`: of an element, as PostgreSQL's dialect names a column's; `values`: as the driver takes them:
    JSON as text. None is NULL; a NUL in a text, which PostgreSQL does not hold, becomes U+FFFD.

    Raises KeyError for a kind that is not listed below, struct.error for a number beyond its column.
    """
    number, element = _KINDS[kind]
    body = [_NULL if value is None else element(value) for value in values]
    return Packed(struct.pack("!5i", 1, int(None in values), number, len(values), 1) + b"".join(body))


def _text(value: str) -> bytes:
    data = (value.replace("\0", "\ufffd") if "\0" in value else value).encode()
    return _LENGTH(len(data)) + data


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _number(value: int) -> bytes:
    return _NUMBER(8, value)


def _small(value: int) -> bytes:
    return _SMALL(4, value)


def _truth(value: bool) -> bytes:
    return _TRUTH(1, value)


def _float(value: float) -> bytes:
    return _FLOAT(8, value)


_KINDS: Final[Mapping[str, tuple[int, Callable[[Any], bytes]]]] = {
    "VARCHAR": (1043, _text),
    "TEXT": (25, _text),
    "JSON": (114, _text),
    "BYTEA": (17, _bytes),
    "BIGINT": (20, _number),
    "INTEGER": (23, _small),
    "BOOLEAN": (16, _truth),
    "FLOAT": (701, _float),
}
"""Of each kind: PostgreSQL's own number of it, and how one is written."""
