"""A copy of one request and its answer, as the serving worker gives it to the shadow worker. Pure.

One message: a fixed head, a JSON description of the tensors, their bytes as OIP lays them out. The
description depends on names and shapes only, and is kept.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np

from limosa_agent.serving.errors import CopyBroken
from limosa_agent.serving.oip_json import TensorIn
from limosa_agent.serving.tensor_codec import OIP, Array, from_binary, to_binary
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import MODEL, SHA256_HEX
from limosa_contracts.serving import NUMPY_OF_DTYPE

HEAD: Final = struct.Struct("<4sIIQ")  # magic, bytes of the description, generation, requests dropped so far
MAGIC: Final = b"LSC1"
DESCRIPTION_MAX_BYTES: Final = 64 * 1024
SHAPES_MAX: Final = 64  # descriptions that are kept
RANK_MAX: Final = 16
TENSORS_MAX: Final = 128

Piece: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What was asked of the active version, and what it answered."""

    model: str
    active: str  # the manifest's sha256 of the version that answered
    generation: int
    dropped: int  # requests that this generation gave no copy of, so far
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        """Raises CopyBroken. Arrays are views of `data`."""
        view = memoryview(data)
        if len(view) < HEAD.size:
            raise CopyBroken("a copy is shorter than its head")
        magic, described, generation, dropped = HEAD.unpack_from(view)
        if magic != MAGIC or described > min(DESCRIPTION_MAX_BYTES, len(view) - HEAD.size):
            raise CopyBroken("a copy has no head")
        at = HEAD.size + described
        try:
            said = Fields(
                parse_object(bytes(view[HEAD.size : at]), what="copy", max_bytes=DESCRIPTION_MAX_BYTES),
                where="copy",
            )
            inputs, at = _tensors(said, "inputs", view, at)
            outputs, at = _tensors(said, "outputs", view, at)
            if at != len(view):
                raise CopyBroken("bytes follow the last tensor of a copy")
            return cls(
                model=said.text("model", pattern=MODEL),
                active=said.text("active", pattern=SHA256_HEX),
                generation=generation,
                dropped=dropped,
                inputs=inputs,
                outputs=outputs,
            )
        except CopyBroken:
            raise
        except (LimosaError, ValueError) as error:
            raise CopyBroken("a copy cannot be read", why=str(error)[:300]) from error


class CopyWriter:
    """Makes the messages of one model in one generation."""

    def __init__(self, *, model: str, active: str, generation: int) -> None:
        self._model: Final = model
        self._active: Final = active
        self._generation: Final = generation
        self._known: Final[dict[tuple[object, ...], bytes]] = {}

    def pieces(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], *, dropped: int
    ) -> list[Piece]:
        """The message in pieces; those of tensors are views, not copies, where their layout allows."""
        bodies = [_body(array) for array in (*inputs.values(), *outputs.values())]
        key = (
            len(inputs),
            *((name, array.dtype.num, array.shape) for name, array in inputs.items()),
            *((name, array.dtype.num, array.shape) for name, array in outputs.items()),
            *(len(body) for body in bodies),
        )
        described = self._known.get(key)
        if described is None:
            described = self._describe(inputs, outputs, [len(body) for body in bodies])
            if len(self._known) < SHAPES_MAX:
                self._known[key] = described
        return [HEAD.pack(MAGIC, len(described), self._generation, dropped), described, *bodies]

    def _describe(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], sizes: Sequence[int]
    ) -> bytes:
        description: dict[str, JsonValue] = {
            "model": self._model,
            "active": self._active,
            "inputs": _described(inputs, sizes[: len(inputs)]),
            "outputs": _described(outputs, sizes[len(inputs) :]),
        }
        return json.dumps(description, separators=(",", ":")).encode()


def _body(array: Array) -> Piece:
    if array.dtype.kind == "O" or not array.dtype.isnative or not array.flags.c_contiguous:
        return to_binary(array)
    if not array.size:
        return b""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # numpy's arrays are buffers


def _described(tensors: Mapping[str, Array], sizes: Iterable[int]) -> list[JsonValue]:
    return [
        {"name": name, "dtype": OIP[array.dtype], "shape": list(array.shape), "bytes": size}
        for (name, array), size in zip(tensors.items(), sizes, strict=True)
    ]


def _tensors(said: Fields, name: str, view: memoryview, at: int) -> tuple[dict[str, Array], int]:
    arrays: dict[str, Array] = {}
    for where, value in said.items(name, max_items=TENSORS_MAX):
        item = Fields(value, where=where)
        size = item.integer("bytes", low=0)
        shape = item.integers("shape", low=0)
        if at + size > len(view) or len(shape) > RANK_MAX:
            raise CopyBroken("a copy is shorter than its tensors", where=where)
        tensor = TensorIn(
            item.text("name", max_chars=256),
            item.choice("dtype", tuple(NUMPY_OF_DTYPE)),
            shape,
            None,
            size,
        )
        arrays[tensor.name] = from_binary(tensor, view[at : at + size])
        at += size
    return arrays, at
