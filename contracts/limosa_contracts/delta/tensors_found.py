"""Where the tensors of a blob are: names, types, shapes and byte ranges. Only who makes deltas looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

TENSOR_MIN_BYTES: Final = 64  # smaller ones stay in the rest
SIGNED_8: Final = "i8"
FLOAT_32: Final = "f32"
WIDTHS: Final[Mapping[str, int]] = {
    "i8": 1, "u8": 1, "i4": 1, "u4": 1, "bool": 1, "f8": 1,
    "f16": 2, "bf16": 2, "i16": 2, "u16": 2,
    FLOAT_32: 4, "i32": 4, "u32": 4,
    "f64": 8, "i64": 8, "u64": 8,
}  # fmt: skip
"""Bytes of an element, of two for 4-bit types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTensor:
    name: str
    kind: str  # a key of WIDTHS
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Weights `w` stand for `w * scale`, one scale or one per index of `axis`."""

    scale: str
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Tensors in the order of the blob, apart from each other."""

    tensors: Sequence[FoundTensor] = ()
    quantized: Mapping[str, Quantization] = field(default_factory=dict)  # by name of the weights

    def by_name(self) -> dict[str, FoundTensor]:
        return {tensor.name: tensor for tensor in self.tensors}


def apart(tensors: Sequence[FoundTensor]) -> list[FoundTensor]:
    """In order of place, without any that overlaps the one before it."""
    result: list[FoundTensor] = []
    for tensor in sorted(tensors, key=lambda item: (item.start, item.stop)):
        if tensor.length and (not result or tensor.start >= result[-1].stop):
            result.append(tensor)
    return result
