"""Named tensors in one file, in the safetensors layout: u64 header length, JSON header, raw data.

Little-endian, row-major. Written in the order of names, so equal tensors give equal bytes. Used for
golden vectors; reading allocates nothing but views of the given bytes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidArtifact, LimosaError
from limosa_contracts.fields import Fields

DTYPE_BYTES: Final[Mapping[str, int]] = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
NUMPY_NAME: Final[Mapping[str, str]] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
}
HEADER_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class RawTensor:
    """`data` is little-endian and row-major; `dtype` is a key of DTYPE_BYTES."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def encode_tensors(tensors: Mapping[str, RawTensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        size = DTYPE_BYTES[tensor.dtype] * math.prod(tensor.shape)
        if len(tensor.data) != size:
            raise InvalidArtifact(
                f"tensor {name!r} has {len(tensor.data)} bytes", why=f"its shape needs {size}"
            )
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = encode_canonical(json.loads(json.dumps(header)))
    text += b" " * (-len(text) % 8)
    return (
        struct.pack("<Q", len(text)) + text + b"".join(bytes(tensors[name].data) for name in sorted(tensors))
    )


def parse_tensors(data: bytes) -> tuple[dict[str, RawTensor], dict[str, str]]:
    """(tensors, metadata). Raises InvalidArtifact for anything that does not fit exactly."""
    if len(data) < 8:
        raise InvalidArtifact("a tensor file is too short", where="tensors")
    (length,) = struct.unpack_from("<Q", data)
    if length > HEADER_MAX_BYTES or 8 + length > len(data):
        raise InvalidArtifact("a tensor file's header is too long", where="tensors", why=f"{length} bytes")
    body = memoryview(data)[8 + length :]
    try:
        return _parse_header(bytes(data[8 : 8 + length]), body)
    except InvalidArtifact:
        raise
    except LimosaError as error:
        raise InvalidArtifact(
            "a tensor file's header is not valid", where="tensors", why=str(error)
        ) from error


def _parse_header(header: bytes, body: memoryview) -> tuple[dict[str, RawTensor], dict[str, str]]:
    value = parse_object(header.rstrip(b" "), what="tensors", max_bytes=HEADER_MAX_BYTES)
    fields = Fields(value, where="tensors")
    nothing: dict[str, str] = {}
    metadata = fields.optional("__metadata__", lambda n: fields.text_map(n), nothing)
    tensors: dict[str, RawTensor] = {}
    spans: list[tuple[int, int]] = []
    for name in fields.rest():
        entry = fields.fields(name)
        dtype = entry.choice("dtype", tuple(DTYPE_BYTES))
        shape = entry.integers("shape", low=0, max_items=16)
        offsets = entry.integers("data_offsets", low=0, max_items=2)
        if len(offsets) != 2 or not offsets[0] <= offsets[1] <= len(body):
            raise InvalidArtifact(f"tensor {name[:80]!r} lies outside the file", where="tensors")
        if offsets[1] - offsets[0] != DTYPE_BYTES[dtype] * math.prod(shape):
            raise InvalidArtifact(f"tensor {name[:80]!r} does not fit its shape", where="tensors")
        tensors[name] = RawTensor(dtype, shape, body[offsets[0] : offsets[1]])
        spans.append((offsets[0], offsets[1]))
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise InvalidArtifact("tensors overlap or leave a gap", where="tensors")
        end = stop
    if end != len(body):
        raise InvalidArtifact("bytes follow the last tensor", where="tensors", why=f"{len(body) - end}")
    return tensors, metadata
