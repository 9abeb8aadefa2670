"""Steps that look at each value alone: cast, scale, clip, fill_missing, log, temperature, threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import number, one_of, param
from limosa_compiler.processing.step import FLOATS, INTEGERS, Step, need_dtype
from limosa_compiler.processing.tensor_type import TensorType

_NUMBERS: Final = (*INTEGERS, *FLOATS, "bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise(Step):
    """Floats in, the same floats out."""

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, FLOATS, place)
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast(Step):
    name: ClassVar[str] = "cast"
    says: ClassVar[str] = "Changes the element type; from float to integer it cuts towards zero."
    equals: ClassVar[str] = "`array.astype(to)`"
    sensitive: ClassVar[str] = "exact"

    source: str = param(one_of(*_NUMBERS), key="from", default="uint8", says="type that comes in")
    to: str = param(one_of(*_NUMBERS), default="float32", says="type that goes out")

    def before(self, after: TensorType, place: Place) -> TensorType:
        if after.dtype != self.to:
            raise place.refused(f"it gives {self.to}, and {after} is asked for")
        return after.with_dtype(self.source)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, _NUMBERS, parts.place)
        return Value(name=parts.cast(value.name, self.to), type=value.type.with_dtype(self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Elementwise):
    name: ClassVar[str] = "scale"
    says: ClassVar[str] = "x · factor / divisor + offset, in this order."
    equals: ClassVar[str] = "numpy float32; `divisor = 255` is torchvision's `ToTensor`"
    sensitive: ClassVar[str] = "exact"

    factor: float = param(number(), default=1.0, says="is multiplied")
    divisor: float = param(number(LIMITS.std_min), default=1.0, says="is divided by")
    offset: float = param(number(), default=0.0, says="is added")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        result = value.name
        for operator, operand, neutral in (
            ("Mul", self.factor, 1.0),
            ("Div", self.divisor, 1.0),
            ("Add", self.offset, 0.0),
        ):
            if operand != neutral:
                result = parts.node(operator, result, parts.scalar(operand, value.type))
        return Value(name=result, type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Elementwise):
    name: ClassVar[str] = "clip"
    says: ClassVar[str] = "Values outside become the nearest bound; NaN stays NaN."
    equals: ClassVar[str] = "`numpy.clip`"
    sensitive: ClassVar[str] = "exact"

    low: float = param(number(), says="least value")
    high: float = param(number(), says="greatest value")

    def problem(self) -> str:
        return "" if self.low <= self.high else f"low {self.low} is above high {self.high}"

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        bounds = [parts.scalar(bound, value.type) for bound in (self.low, self.high)]
        return Value(name=parts.node("Clip", value.name, *bounds), type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillMissing(Elementwise):
    name: ClassVar[str] = "fill_missing"
    says: ClassVar[str] = "NaN becomes a value."
    equals: ClassVar[str] = "`numpy.where(numpy.isnan(x), value, x)`"
    sensitive: ClassVar[str] = "exact"

    value: float = param(number(), default=0.0, says="what stands for NaN")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        missing = parts.node("IsNaN", value.name)
        filled = parts.node("Where", missing, parts.scalar(self.value, value.type), value.name)
        return Value(name=filled, type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Elementwise):
    name: ClassVar[str] = "log"
    says: ClassVar[str] = "Logarithm of max(x + add, floor); `db` is 10 · log10."
    equals: ClassVar[str] = "`numpy.log`, `numpy.log10`; `db` is librosa's `power_to_db(ref=1, top_db=None)`"
    sensitive: ClassVar[str] = "last bits; near the floor a small difference before it becomes a large one"

    kind: str = param(one_of("natural", "log10", "db"), default="natural", says="which logarithm")
    floor: float = param(number(1e-30), default=1e-10, says="smaller values count as this")
    add: float = param(number(0.0), default=0.0, says="is added before")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        factor = {"natural": 1.0, "log10": 1 / math.log(10), "db": 10 / math.log(10)}[self.kind]
        result = value.name
        if self.add:
            result = parts.node("Add", result, parts.scalar(self.add, value.type))
        result = parts.node("Log", parts.node("Max", result, parts.scalar(self.floor, value.type)))
        if factor != 1.0:
            result = parts.node("Mul", result, parts.scalar(factor, value.type))
        return Value(name=result, type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(Elementwise):
    name: ClassVar[str] = "sigmoid"
    says: ClassVar[str] = "1 / (1 + exp(-x)) of each value."
    equals: ClassVar[str] = "`scipy.special.expit`, `torch.sigmoid`"

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        return Value(name=parts.node("Sigmoid", value.name), type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature(Elementwise):
    name: ClassVar[str] = "temperature"
    says: ClassVar[str] = (
        "Logits / value: calibrates how sure a classifier says it is; put it before softmax."
    )
    equals: ClassVar[str] = "`logits / value`"
    sensitive: ClassVar[str] = "exact"

    value: float = param(number(1e-3, 1e3), says="above 1: less sure")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        return Value(
            name=parts.node("Div", value.name, parts.scalar(self.value, value.type)), type=value.type
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Step):
    name: ClassVar[str] = "threshold"
    says: ClassVar[str] = "1 where x ≥ value, else 0, as int64."
    equals: ClassVar[str] = "`(x >= value).astype(int64)`"
    sensitive: ClassVar[str] = "jumps: values next to the threshold may fall on either side"

    value: float = param(number(), default=0.5, says="the least value that counts")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        above = parts.node("GreaterOrEqual", value.name, parts.scalar(self.value, value.type))
        return Value(name=parts.cast(above, "int64"), type=value.type.with_dtype("int64"))
