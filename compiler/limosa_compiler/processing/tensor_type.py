"""What flows between steps: an element type and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onnx import TensorProto, ValueInfoProto, helper

FREE: Final = -1
ELEMENT: Final[Mapping[str, int]] = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}
"""Name in recipes -> ONNX's element type."""
NAME_OF: Final = {number: name for name, number in ELEMENT.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """`shape` has -1 for a free dimension; the first is the batch."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('?' if size == FREE else str(size) for size in self.shape)}]"

    def with_shape(self, shape: Sequence[int]) -> TensorType:
        return TensorType(dtype=self.dtype, shape=tuple(shape))

    def with_dim(self, axis: int, size: int) -> TensorType:
        shape = list(self.shape)
        shape[axis] = size
        return self.with_shape(shape)

    def with_dtype(self, dtype: str) -> TensorType:
        return TensorType(dtype=dtype, shape=self.shape)

    def fits(self, wanted: TensorType) -> bool:
        """Whether a value of this type can be given where `wanted` is asked for."""
        return (
            self.dtype == wanted.dtype
            and self.rank == wanted.rank
            and all(
                have == want or FREE in (have, want)
                for have, want in zip(self.shape, wanted.shape, strict=True)
            )
        )

    def as_value_info(self, name: str) -> ValueInfoProto:
        """Free dimensions get names of their own, so that none are taken for equal; the batch is "N"."""
        shape = [
            size if size != FREE else ("N" if axis == 0 else f"{name}_{axis}")
            for axis, size in enumerate(self.shape)
        ]
        return helper.make_tensor_value_info(name, ELEMENT[self.dtype], shape)


def type_of(value: ValueInfoProto) -> TensorType | None:
    """None for what is no tensor of a known type and rank."""
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type" or tensor.elem_type not in NAME_OF:
        return None
    if not tensor.HasField("shape"):
        return None
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else FREE for dim in tensor.shape.dim
    )
    return TensorType(dtype=NAME_OF[tensor.elem_type], shape=shape)
