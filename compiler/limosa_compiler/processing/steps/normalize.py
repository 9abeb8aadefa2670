"""(x - mean) / std: with numbers from training, or with each row's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import axis, number, numbers, param, wholes
from limosa_compiler.processing.step import FLOATS, inner_axis, need_dtype
from limosa_compiler.processing.steps.elementwise import Elementwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalize(Elementwise):
    name: ClassVar[str] = "normalize"
    says: ClassVar[str] = "(x - mean) / std, with one pair for all, or one per channel or feature."
    equals: ClassVar[str] = "torchvision's `Normalize`, scikit-learn's `StandardScaler`, in float32"
    sensitive: ClassVar[str] = "exact"

    mean: tuple[float, ...] = param(numbers(), says="from the training data")
    std: tuple[float, ...] = param(numbers(LIMITS.std_min), says="from the training data")
    axis: int = param(
        axis(), default=-1, says="which axis has the channels: -1 the last, 1 for NCHW and [N, C, T]"
    )

    def problem(self) -> str:
        lengths = {len(self.mean), len(self.std)} - {1}
        return "" if len(lengths) <= 1 else f"{len(self.mean)} means and {len(self.std)} deviations"

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        along = inner_axis(value.type, self.axis, parts.place)
        width = max(len(self.mean), len(self.std))
        if width > 1 and value.type.shape[along] not in (-1, width):
            raise parts.place.refused(
                f"{width} channels are given, and axis {along} of {value.type} has another number"
            )
        shape = [1] * (value.type.rank - along)
        result = value.name
        for operator, given in (("Sub", self.mean), ("Div", self.std)):
            shape[0] = len(given)
            result = parts.node(
                operator, result, parts.constant(np.reshape(given, shape).astype(value.type.dtype))
            )
        return Value(name=result, type=value.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizeRow(Elementwise):
    name: ClassVar[str] = "normalize_row"
    says: ClassVar[str] = (
        "Each row by its own mean and population deviation: (x - mean) / max(std, least_std)."
    )
    equals: ClassVar[str] = "cepstral mean and variance normalisation; numpy's `mean` and `std`"

    axes: tuple[int, ...] = param(
        wholes(-LIMITS.rank_max, LIMITS.rank_max - 1, max_items=LIMITS.rank_max),
        default=(-1,),
        says="over which mean and deviation are taken; [1] is time in [N, time, features]",
    )
    least_std: float = param(number(LIMITS.std_min), default=1e-5, says="smaller deviations count as this")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        axes = sorted({inner_axis(value.type, one, parts.place) for one in self.axes})
        centred = parts.node("Sub", value.name, parts.mean(value.name, axes))
        deviation = parts.node("Sqrt", parts.mean(parts.node("Mul", centred, centred), axes))
        kept = parts.node("Max", deviation, parts.scalar(self.least_std, value.type))
        return Value(name=parts.node("Div", centred, kept), type=value.type)
