"""Messages between the compiler and its worker: one JSON line, then that many bytes of arrays.

This file runs in two environments: it imports nothing but the standard library and numpy. Arrays are
written as in .safetensors: 8 bytes of length, a JSON header with types, shapes and offsets, the bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

NAME_OF_TYPE = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
}
TYPE_OF_NAME = {name: kind for kind, name in NAME_OF_TYPE.items()}


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(head, arrays), or None where the other side has gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    data = stream.read(head["payload_bytes"])
    return head, decode(data) if data else {}


def write_message(stream: BinaryIO, head: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Arrays must be of the types above."""
    data = encode(arrays) if arrays else b""
    stream.write(json.dumps({**head, "payload_bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def encode(arrays: Mapping[str, Any]) -> bytes:
    """Array by array, in the order of names."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        part = array.tobytes()
        header[name] = {
            "dtype": NAME_OF_TYPE[array.dtype.name],
            "shape": list(arrays[name].shape),
            "data_offsets": [offset, offset + len(part)],
        }
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def decode(data: bytes) -> dict[str, Any]:
    """Views of `data`, written by the compiler: not checked."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    return {
        name: np.frombuffer(
            body[item["data_offsets"][0] : item["data_offsets"][1]], dtype=TYPE_OF_NAME[item["dtype"]]
        ).reshape(item["shape"])
        for name, item in header.items()
    }


def short(error: BaseException) -> str:
    """One line of at most 300 characters.

    >>> short(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
