"""Where an image tensor [N, …] has its height, width and channels."""

from __future__ import annotations

from typing import Final

from limosa_compiler.processing.graph_parts import Place
from limosa_compiler.processing.parameters import Kind, one_of
from limosa_compiler.processing.step import need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType

LAYOUTS: Final[Kind] = one_of("NHWC", "NCHW")
LAYOUT_SAYS: Final = "of the image at this step"
_SIDES: Final = {"NHWC": (1, 2), "NCHW": (2, 3)}


def sides_of(layout: str) -> tuple[int, int]:
    """Axes of height and width."""
    return _SIDES[layout]


def channel_axis(layout: str) -> int:
    return {"NHWC": 3, "NCHW": 1}[layout]


def free_sides(after: TensorType, layout: str, size: tuple[int, int], place: Place) -> TensorType:
    """The type before a step that makes images of `size` (height, width) from any. Raises StepRefused."""
    need_rank(after, (4,), place)
    shape = list(after.shape)
    for axis, wanted in zip(sides_of(layout), size, strict=True):
        if shape[axis] not in (FREE, wanted):
            raise place.refused(f"it gives {wanted} on axis {axis}, and {after} is asked for")
        shape[axis] = FREE
    return after.with_shape(shape)


def fixed_sides(value: TensorType, layout: str, size: tuple[int, int]) -> TensorType:
    shape = list(value.shape)
    for axis, wanted in zip(sides_of(layout), size, strict=True):
        shape[axis] = wanted
    return value.with_shape(shape)
