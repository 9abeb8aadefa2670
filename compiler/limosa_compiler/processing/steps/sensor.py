"""Steps for sensor windows [N, channels, samples] and tables [N, columns]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import axis, flag, one_of, param, texts, whole, wholes
from limosa_compiler.processing.step import FLOATS, Step, inner_axis, need_dtype, need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Step):
    name: ClassVar[str] = "difference"
    says: ClassVar[str] = "Each value less the one before it; the axis gets one shorter."
    equals: ClassVar[str] = "`numpy.diff(x, axis=axis)`"
    sensitive: ClassVar[str] = "exact"

    axis: int = param(axis(), default=-1, says="along which")

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, FLOATS, place)
        along = inner_axis(after, self.axis, place)
        size = after.shape[along]
        return after.with_dim(along, size + 1 if size != FREE else FREE)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        size = value.type.shape[along]
        if size == 1:
            raise parts.place.refused(f"axis {along} of {value.type} has one value: nothing to compare")
        later = parts.node("Slice", value.name, parts.whole(1), parts.whole(2**62), parts.whole(along))
        earlier = parts.node("Slice", value.name, parts.whole(0), parts.whole(-1), parts.whole(along))
        return Value(
            name=parts.node("Sub", later, earlier),
            type=value.type.with_dim(along, size - 1 if size != FREE else FREE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Magnitude(Step):
    name: ClassVar[str] = "magnitude"
    says: ClassVar[str] = "Root of the sum of squares of some channels, as one channel, or after the others."
    equals: ClassVar[str] = "`numpy.sqrt((x[:, channels] ** 2).sum(axis=1, keepdims=True))`"

    channels: tuple[int, ...] = param(wholes(0, LIMITS.channels_max), says="which are taken, e.g. [0, 1, 2]")
    width: int = param(whole(1, LIMITS.channels_max), says="number of channels that come in")
    append: bool = param(flag(), default=False, says="keep the others too, and put it after them")
    axis: int = param(axis(), default=1, says="which axis has the channels")

    def problem(self) -> str:
        return "" if max(self.channels) < self.width else f"there are {self.width} channels, from 0 on"

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, FLOATS, place)
        along = inner_axis(after, self.axis, place)
        made = self.width + 1 if self.append else 1
        if after.shape[along] not in (FREE, made):
            raise place.refused(f"it gives {made} channels, and {after} is asked for")
        return after.with_dim(along, self.width)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        if value.type.shape[along] not in (FREE, self.width):
            raise parts.place.refused(f"{self.width} channels are needed on axis {along}: {value.type}")
        taken = parts.node("Gather", value.name, parts.whole(*self.channels), axis=along)
        summed = parts.node("ReduceSum", parts.node("Mul", taken, taken), parts.whole(along), keepdims=1)
        root = parts.node("Sqrt", summed)
        if not self.append:
            return Value(name=root, type=value.type.with_dim(along, 1))
        both = parts.node("Concat", value.name, root, axis=along)
        return Value(name=both, type=value.type.with_dim(along, self.width + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingAverage(Step):
    name: ClassVar[str] = "moving_average"
    says: ClassVar[str] = (
        "Mean of `length` neighbours on the last axis of [N, T] or [N, C, T]; it gets length - 1 shorter."
    )
    equals: ClassVar[str] = "`numpy.convolve(x, ones(length) / length, 'valid')`"

    length: int = param(whole(1, LIMITS.frame_max_samples), unit="samples", says="how many neighbours")

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, ("float32",), place)
        need_rank(after, (2, 3), place)
        size = after.shape[-1]
        return after.with_dim(-1, size + self.length - 1 if size != FREE else FREE)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("float32",), parts.place)
        need_rank(value.type, (2, 3), parts.place)
        size = value.type.shape[-1]
        if 0 < size < self.length:
            raise parts.place.refused(f"{value.type} is shorter than {self.length}")
        flat = value.type.rank == 2
        name = parts.node("Unsqueeze", value.name, parts.whole(1)) if flat else value.name
        name = parts.node("AveragePool", name, kernel_shape=[self.length], strides=[1])
        name = parts.node("Squeeze", name, parts.whole(1)) if flat else name
        return Value(
            name=name, type=value.type.with_dim(-1, size - self.length + 1 if size != FREE else FREE)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OneHot(Step):
    name: ClassVar[str] = "one_hot"
    says: ClassVar[str] = "An index becomes 0s and a 1 on a new last axis; an index outside becomes only 0s."
    equals: ClassVar[str] = "`numpy.eye(classes)[x]`"
    sensitive: ClassVar[str] = "exact"

    classes: int = param(whole(1, LIMITS.classes_max), says="size of the new axis")
    source: str = param(one_of("int64", "int32"), key="from", default="int64", says="type that comes in")

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, ("float32",), place)
        if after.rank < 2 or after.shape[-1] not in (FREE, self.classes):
            raise place.refused(f"it gives {self.classes} on the last axis, and {after} is asked for")
        return TensorType(dtype=self.source, shape=after.shape[:-1])

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, (self.source,), parts.place)
        # Compared one by one: the operator OneHot counts a negative index from the end.
        index = parts.node("Unsqueeze", parts.cast(value.name, "int64"), parts.whole(value.type.rank))
        equal = parts.node("Equal", index, parts.constant(np.arange(self.classes, dtype=np.int64)))
        return Value(
            name=parts.cast(equal, "float32"),
            type=TensorType(dtype="float32", shape=(*value.type.shape, self.classes)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Step):
    name: ClassVar[str] = "map"
    says: ClassVar[str] = (
        "Texts to their numbers: the position in `keys`, from 0; an unknown text gives `unknown`."
    )
    equals: ClassVar[str] = "`{key: i for i, key in enumerate(keys)}.get(x, unknown)`"
    sensitive: ClassVar[str] = "exact"

    keys: tuple[str, ...] = param(texts(LIMITS.keys_max), says="the texts in order")
    unknown: int = param(whole(-1, LIMITS.keys_max), default=-1, says="for what is none of them")

    def problem(self) -> str:
        return "" if len(set(self.keys)) == len(self.keys) else "a text occurs twice"

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, ("int64",), place)
        return after.with_dtype("string")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("string",), parts.place)
        made = parts.node(
            "LabelEncoder",
            value.name,
            domain="ai.onnx.ml",
            keys_strings=list(self.keys),
            values_int64s=list(range(len(self.keys))),
            default_int64=self.unknown,
        )
        return Value(name=made, type=value.type.with_dtype("int64"))
