"""Channels of images: their order, and grey from colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.parameters import one_of, param, wholes
from limosa_compiler.processing.step import Step, need_dtype, need_rank
from limosa_compiler.processing.steps.image_layout import LAYOUT_SAYS, LAYOUTS, channel_axis
from limosa_compiler.processing.tensor_type import FREE, TensorType

_WEIGHTS: Final = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601, luma
_PILLOW_WEIGHTS: Final = (19595, 38470, 7471)  # the same · 2^16, as Pillow's convert("L") has them
_COLOURS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapChannels(Step):
    name: ClassVar[str] = "swap_channels"
    says: ClassVar[str] = "Channels in another order: RGB to BGR and back."
    equals: ClassVar[str] = "`x[..., [2, 1, 0]]`"
    sensitive: ClassVar[str] = "exact"

    order: tuple[int, ...] = param(
        wholes(0, 15, max_items=16), default=(2, 1, 0), says="old channel of each new one"
    )
    layout: str = param(LAYOUTS, default="NHWC", says=LAYOUT_SAYS)

    def problem(self) -> str:
        if sorted(self.order) != list(range(len(self.order))):
            return f"{list(self.order)} does not name each channel once"
        return ""

    def before(self, after: TensorType, place: Place) -> TensorType:
        return _with_channels(after, len(self.order), len(self.order), self.layout, place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        axis = channel_axis(self.layout)
        kept = _with_channels(value.type, len(self.order), len(self.order), self.layout, parts.place)
        return Value(name=parts.node("Gather", value.name, parts.whole(*self.order), axis=axis), type=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grayscale(Step):
    name: ClassVar[str] = "grayscale"
    says: ClassVar[str] = "One channel from three: 0.299 red + 0.587 green + 0.114 blue."
    equals: ClassVar[str] = 'Pillow\'s `convert("L")`: uint8 exactly, float32 without its rounding'
    sensitive: ClassVar[str] = "uint8: exact; float32: last bits"

    order: str = param(one_of("RGB", "BGR"), default="RGB", says="of what comes in")
    layout: str = param(LAYOUTS, default="NHWC", says=LAYOUT_SAYS)

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, ("uint8", "float32"), place)
        return _with_channels(after, 1, _COLOURS, self.layout, place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("uint8", "float32"), parts.place)
        grey = _with_channels(value.type, _COLOURS, 1, self.layout, parts.place)
        axis = channel_axis(self.layout)
        turn = 1 if self.order == "RGB" else -1
        shape = [_COLOURS, *[1] * (3 - axis)]
        if value.type.dtype == "float32":
            weights = parts.constant(np.array(_WEIGHTS[::turn], np.float32).reshape(shape))
            return Value(name=self._sum(parts, value.name, weights, axis), type=grey)
        weights = parts.constant(np.array(_PILLOW_WEIGHTS[::turn], np.int32).reshape(shape))
        summed = self._sum(parts, parts.cast(value.name, "int32"), weights, axis)
        rounded = parts.node("Add", summed, parts.constant(np.array(1 << 15, np.int32)))
        shared = parts.node("Div", rounded, parts.constant(np.array(1 << 16, np.int32)))
        return Value(name=parts.cast(shared, "uint8"), type=grey)

    def _sum(self, parts: GraphParts, name: str, weights: str, axis: int) -> str:
        return parts.node("ReduceSum", parts.node("Mul", name, weights), parts.whole(axis), keepdims=1)


def _with_channels(given: TensorType, have: int, wanted: int, layout: str, place: Place) -> TensorType:
    need_rank(given, (4,), place)
    axis = channel_axis(layout)
    if given.shape[axis] not in (FREE, have):
        raise place.refused(f"{have} channels are needed on axis {axis}, and there is {given}")
    return given.with_dim(axis, wanted)
