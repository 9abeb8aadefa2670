"""Images of any size to a fixed one (opset 18: antialias came with it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import flag, number, one_of, param, whole
from limosa_compiler.processing.step import Step, need_dtype, need_rank
from limosa_compiler.processing.steps.image_layout import (
    LAYOUT_SAYS,
    LAYOUTS,
    fixed_sides,
    free_sides,
    sides_of,
)
from limosa_compiler.processing.tensor_type import TensorType

_RESIZED = ("uint8", "float32")
_PILLOW_A = -0.5  # the cubic's coefficient in Pillow, and in torch with antialias
_OPENCV_A = -0.75  # in OpenCV, and in torch without
_FITS = ("stretch", "letterbox", "cover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(Step):
    name: ClassVar[str] = "resize"
    says: ClassVar[str] = (
        "Height and width to a fixed size. `letterbox` keeps the aspect and pads both sides with `fill`; "
        "`cover` keeps it and cuts both sides."
    )
    equals: ClassVar[str] = (
        "with antialias Pillow's `resize` (`BILINEAR`, `BICUBIC`), and torch's with `antialias=True`; "
        "without it OpenCV's `INTER_LINEAR` and `INTER_CUBIC`, and torch's; `nearest` is Pillow's `NEAREST`, "
        "torch's `nearest-exact`. uint8: within 2 of 255 (`cubic` that shrinks one side and grows the other: "
        "8). `cubic` without antialias takes float32 in NCHW"
    )
    sensitive: ClassVar[str] = "last bits; uint8: now and then 1 of 255"

    height: int = param(whole(1, LIMITS.side_max_px), unit="px", says="of what goes out")
    width: int = param(whole(1, LIMITS.side_max_px), unit="px", says="of what goes out")
    mode: str = param(one_of("linear", "cubic", "nearest"), default="linear", says="interpolation")
    antialias: bool = param(
        flag(), default=True, says="when shrinking, every pixel counts; not for `nearest`"
    )
    fit: str = param(one_of(*_FITS), default="stretch", says="what happens to the aspect")
    fill: float = param(number(0, 255), default=0.0, says="of the padding")
    layout: str = param(LAYOUTS, default="NHWC", says=LAYOUT_SAYS)

    @property
    def opset_min(self) -> int:
        return 18

    @property
    def _taken(self) -> tuple[str, ...]:
        return ("float32",) if self._plain_cubic else _RESIZED

    @property
    def _plain_cubic(self) -> bool:
        return self.mode == "cubic" and not self.antialias

    def problem(self) -> str:
        if self._plain_cubic and self.layout != "NCHW":
            return "onnxruntime has cubic without antialias for NCHW only: put a layout step before"
        return ""

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, self._taken, place)
        return free_sides(after, self.layout, (self.height, self.width), place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, self._taken, parts.place)
        need_rank(value.type, (4,), parts.place)
        resized = self._resized(parts, value.name)
        size = (self.height, self.width)
        if self.fit == "letterbox":
            resized = self._padded(parts, resized, value.type)
        if self.fit == "cover":
            resized = centre(parts, resized, size, self.layout)
        return Value(
            name=with_sides(parts, resized, size, self.layout),
            type=fixed_sides(value.type, self.layout, size),
        )

    def _resized(self, parts: GraphParts, name: str) -> str:
        antialias = self.antialias and self.mode != "nearest"
        return parts.node(
            "Resize",
            name,
            "",
            "",
            self._size(parts, name),
            mode=self.mode,
            antialias=int(antialias),
            axes=list(sides_of(self.layout)),
            coordinate_transformation_mode="half_pixel",
            # Beyond the border there is nothing, rather than the border again: as Pillow weighs it.
            exclude_outside=int(antialias),
            cubic_coeff_a=_PILLOW_A if antialias else _OPENCV_A,
            nearest_mode="round_prefer_ceil",
        )

    def _size(self, parts: GraphParts, name: str) -> str:
        """Height and width to resize to: whole pixels first, then their own ratio, as Pillow and OpenCV do.

        The operator's own policy for the aspect keeps one ratio for both sides, which differs by a part
        of a pixel.
        """
        wanted = parts.whole(self.height, self.width)
        if self.fit == "stretch":
            return wanted
        first, second = sides_of(self.layout)
        have = parts.cast(
            parts.node("Slice", parts.node("Shape", name), parts.whole(first), parts.whole(second + 1)),
            "float64",
        )
        ratios = parts.node("Div", parts.cast(wanted, "float64"), have)
        ratio = parts.node("ReduceMin" if self.fit == "letterbox" else "ReduceMax", ratios, keepdims=1)
        half = parts.constant(np.array(0.5, np.float64))
        rounded = parts.node("Floor", parts.node("Add", parts.node("Mul", have, ratio), half))
        return parts.node("Max", parts.cast(rounded, "int64"), parts.whole(1))

    def _padded(self, parts: GraphParts, name: str, like: TensorType) -> str:
        """(wanted - size) // 2 before, the rest after."""
        first, second = sides_of(self.layout)
        size = parts.node("Slice", parts.node("Shape", name), parts.whole(first), parts.whole(second + 1))
        missing = parts.node("Sub", parts.whole(self.height, self.width), size)
        before = parts.node("Div", missing, parts.whole(2))
        pads = parts.node("Concat", before, parts.node("Sub", missing, before), axis=0)
        fill = parts.constant(np.array(self.fill).astype(like.dtype))
        return parts.node("Pad", name, pads, fill, parts.whole(first, second), mode="constant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop(Step):
    name: ClassVar[str] = "crop"
    says: ClassVar[str] = "The middle of each image; a smaller image is refused when it comes."
    equals: ClassVar[str] = (
        "`x[:, t:t + height, l:l + width]` with t = (H - height) // 2; torchvision's `CenterCrop` where "
        "H - height is even"
    )
    sensitive: ClassVar[str] = "exact"

    height: int = param(whole(1, LIMITS.side_max_px), unit="px", says="of what goes out")
    width: int = param(whole(1, LIMITS.side_max_px), unit="px", says="of what goes out")
    layout: str = param(LAYOUTS, default="NHWC", says=LAYOUT_SAYS)

    def before(self, after: TensorType, place: Place) -> TensorType:
        return free_sides(after, self.layout, (self.height, self.width), place)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_rank(value.type, (4,), parts.place)
        size = (self.height, self.width)
        for axis, wanted in zip(sides_of(self.layout), size, strict=True):
            if 0 < value.type.shape[axis] < wanted:
                raise parts.place.refused(f"{wanted} on axis {axis} is more than {value.type} has")
        cut = centre(parts, value.name, size, self.layout)
        return Value(
            name=with_sides(parts, cut, size, self.layout), type=fixed_sides(value.type, self.layout, size)
        )


def centre(parts: GraphParts, name: str, size: tuple[int, int], layout: str) -> str:
    """The middle of images at least as large as `size`."""
    first, second = sides_of(layout)
    have = parts.node("Slice", parts.node("Shape", name), parts.whole(first), parts.whole(second + 1))
    spare = parts.node("Sub", have, parts.whole(*size))
    begin = parts.node("Div", spare, parts.whole(2))
    end = parts.node("Add", begin, parts.whole(*size))
    return parts.node("Slice", name, begin, end, parts.whole(first, second))


def with_sides(parts: GraphParts, name: str, size: tuple[int, int], layout: str) -> str:
    """The same images with a height and width that shape inference knows."""
    shape = [0, 0, 0, 0]
    for axis, wanted in zip(sides_of(layout), size, strict=True):
        shape[axis] = wanted
    return parts.reshape(name, shape)
