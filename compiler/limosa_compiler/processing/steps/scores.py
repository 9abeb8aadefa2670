"""From a classifier's scores to probabilities, classes, or the best few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from limosa_compiler.processing.graph_parts import GraphParts, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import axis, param, whole
from limosa_compiler.processing.step import FLOATS, ManyStep, Step, inner_axis, need_dtype
from limosa_compiler.processing.steps.elementwise import Elementwise
from limosa_compiler.processing.tensor_type import FREE

_AXIS_SAYS: Final = "which axis has the classes"
_JUMPS: Final = "jumps: where two scores are nearly equal, either may win"


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(Elementwise):
    name: ClassVar[str] = "softmax"
    says: ClassVar[str] = "exp(x) / sum(exp(x)): logits to probabilities, which the device then also watches."
    equals: ClassVar[str] = "`scipy.special.softmax(x, axis)`, `torch.softmax`"

    axis: int = param(axis(), default=-1, says=_AXIS_SAYS)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        return Value(name=parts.node("Softmax", value.name, axis=along), type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSoftmax(Elementwise):
    name: ClassVar[str] = "log_softmax"
    says: ClassVar[str] = "Logarithm of softmax, without its underflow."
    equals: ClassVar[str] = "`scipy.special.log_softmax(x, axis)`, `torch.log_softmax`"

    axis: int = param(axis(), default=-1, says=_AXIS_SAYS)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        return Value(name=parts.node("LogSoftmax", value.name, axis=along), type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgMax(Step):
    name: ClassVar[str] = "argmax"
    says: ClassVar[str] = "Index of the largest value, int64; the axis goes. The first of equals."
    equals: ClassVar[str] = "`numpy.argmax(x, axis)`"
    sensitive: ClassVar[str] = _JUMPS

    axis: int = param(axis(), default=-1, says=_AXIS_SAYS)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        shape = value.type.shape[:along] + value.type.shape[along + 1 :]
        found = parts.node("ArgMax", value.name, axis=along, keepdims=0)
        return Value(name=found, type=value.type.with_dtype("int64").with_shape(shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK(ManyStep):
    name: ClassVar[str] = "top_k"
    says: ClassVar[str] = (
        "The largest values, falling, and in a further output `OUTPUT_index` their positions, int64."
    )
    equals: ClassVar[str] = "`torch.topk(x, k, dim=axis)`"
    sensitive: ClassVar[str] = _JUMPS

    k: int = param(whole(1, LIMITS.top_k_max), says="how many; at most as many as there are")
    axis: int = param(axis(), default=-1, says=_AXIS_SAYS)

    def build_many(
        self, parts: GraphParts, name: str, outputs: Mapping[str, Value], target: str
    ) -> Mapping[str, Value | None]:
        value = outputs[name]
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        size = value.type.shape[along]
        if size == FREE or self.k > size:
            raise parts.place.refused(
                f"k = {self.k} is more than axis {along} of {value.type} has, or it is free"
            )
        index = f"{target}_index"
        if index in outputs:
            raise parts.place.refused(f"there is an output {index!r} already", hint="as = another name")
        values, positions = parts.node_of("TopK", (value.name, parts.whole(self.k)), 2, axis=along)
        kept = value.type.with_dim(along, self.k)
        return {
            target: Value(name=values, type=kept),
            index: Value(name=positions, type=kept.with_dtype("int64")),
        }
