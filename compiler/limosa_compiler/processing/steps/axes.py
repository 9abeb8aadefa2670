"""Order and number of axes: transpose, layout, unsqueeze, squeeze, reshape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import axis, one_of, param, wholes
from limosa_compiler.processing.step import Step, inner_axis, need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType

_TO: Final = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 2, 3, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Step):
    name: ClassVar[str] = "transpose"
    says: ClassVar[str] = "Puts the axes into another order; the batch stays first."
    equals: ClassVar[str] = "`numpy.transpose(x, order)`"
    sensitive: ClassVar[str] = "exact"

    order: tuple[int, ...] = param(
        wholes(0, LIMITS.rank_max - 1, max_items=LIMITS.rank_max),
        says="old axis of each new one, e.g. [0, 2, 1]",
    )

    def problem(self) -> str:
        if self.order[0] != 0 or sorted(self.order) != list(range(len(self.order))):
            return f"{list(self.order)} is no order of all axes with the batch, 0, first"
        return ""

    def before(self, after: TensorType, place: Place) -> TensorType:
        return _transposed_back(after, self.order, place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        return _transposed(parts, value, self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Step):
    name: ClassVar[str] = "layout"
    says: ClassVar[str] = "Images between channels last and channels first."
    equals: ClassVar[str] = "`x.transpose(0, 3, 1, 2)` for NCHW, `x.transpose(0, 2, 3, 1)` for NHWC"
    sensitive: ClassVar[str] = "exact"

    to: str = param(one_of("NCHW", "NHWC"), default="NCHW", says="what goes out")

    def before(self, after: TensorType, place: Place) -> TensorType:
        return _transposed_back(after, _TO[self.to], place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        return _transposed(parts, value, _TO[self.to])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsqueeze(Step):
    name: ClassVar[str] = "unsqueeze"
    says: ClassVar[str] = "Puts in an axis of size 1."
    equals: ClassVar[str] = "`numpy.expand_dims(x, axis)`"
    sensitive: ClassVar[str] = "exact"

    axis: int = param(axis(), says="where it stands afterwards")

    def before(self, after: TensorType, place: Place) -> TensorType:
        along = inner_axis(after, self.axis, place)
        if after.shape[along] not in (1, FREE):
            raise place.refused(f"axis {along} of {after} is not of size 1")
        return after.with_shape(after.shape[:along] + after.shape[along + 1 :])

    def build(self, parts: GraphParts, value: Value) -> Value:
        wider = value.type.with_shape((*value.type.shape, 1))
        along = inner_axis(wider, self.axis, parts.place)
        shape = (*value.type.shape[:along], 1, *value.type.shape[along:])
        return Value(
            name=parts.node("Unsqueeze", value.name, parts.whole(along)), type=value.type.with_shape(shape)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Squeeze(Step):
    name: ClassVar[str] = "squeeze"
    says: ClassVar[str] = "Takes out an axis of size 1."
    equals: ClassVar[str] = "`numpy.squeeze(x, axis)`"
    sensitive: ClassVar[str] = "exact"

    axis: int = param(axis(), says="which one")

    def before(self, after: TensorType, place: Place) -> TensorType:
        along = inner_axis(after.with_shape((*after.shape, 1)), self.axis, place)
        return after.with_shape((*after.shape[:along], 1, *after.shape[along:]))

    def build(self, parts: GraphParts, value: Value) -> Value:
        along = inner_axis(value.type, self.axis, parts.place)
        if value.type.shape[along] not in (1, FREE):
            raise parts.place.refused(f"axis {along} of {value.type} is not of size 1")
        shape = value.type.shape[:along] + value.type.shape[along + 1 :]
        return Value(
            name=parts.node("Squeeze", value.name, parts.whole(along)), type=value.type.with_shape(shape)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Step):
    name: ClassVar[str] = "reshape"
    says: ClassVar[str] = "The same values of each row in another shape."
    equals: ClassVar[str] = "`x.reshape(len(x), *shape)`"
    sensitive: ClassVar[str] = "exact"

    shape: tuple[int, ...] = param(
        wholes(-1, 2**31 - 1, max_items=LIMITS.rank_max - 1),
        says="of one row, without the batch; one -1 is what is left",
    )

    def problem(self) -> str:
        if 0 in self.shape or self.shape.count(FREE) > 1:
            return f"{list(self.shape)} has a zero, or more than one -1"
        return ""

    def build(self, parts: GraphParts, value: Value) -> Value:
        row = value.type.shape[1:]
        shape = self.shape
        if FREE not in row:
            left, known = math.prod(row), math.prod(size for size in shape if size != FREE)
            if left % known or (FREE not in shape and left != known):
                raise parts.place.refused(f"a row of {value.type} cannot have the shape {list(shape)}")
            shape = tuple(left // known if size == FREE else size for size in shape)
        return Value(
            name=parts.reshape(value.name, (0, *shape)),
            type=value.type.with_shape((value.type.shape[0], *shape)),
        )


def _transposed_back(after: TensorType, order: tuple[int, ...], place: Place) -> TensorType:
    need_rank(after, (len(order),), place)
    return after.with_shape([after.shape[order.index(old)] for old in range(len(order))])


def _transposed(parts: GraphParts, value: Value, order: tuple[int, ...]) -> Value:
    need_rank(value.type, (len(order),), parts.place)
    shape = [value.type.shape[old] for old in order]
    return Value(
        name=parts.node("Transpose", value.name, perm=list(order)), type=value.type.with_shape(shape)
    )
