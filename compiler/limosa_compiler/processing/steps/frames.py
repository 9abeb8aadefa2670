"""A signal [N, samples] in overlapping frames, and their windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import flag, one_of, param, whole
from limosa_compiler.processing.step import FLOATS, Step, need_dtype, need_rank
from limosa_compiler.processing.steps.elementwise import Elementwise
from limosa_compiler.processing.tensor_type import FREE, TensorType

WINDOWS: Final = ("hann", "hamming", "none")
PADS: Final = ("none", "zero", "reflect")
PAD_SAYS: Final = "half a frame at both ends, so that frames are centred; `none`: only whole frames"
SAMPLES_SAYS: Final = "of one row; 0 leaves it free, else a request of another length is refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Step):
    name: ClassVar[str] = "frame"
    says: ClassVar[str] = "[N, samples] -> [N, frames, length]; what is left at the end is dropped."
    equals: ClassVar[str] = (
        "`sliding_window_view(x, length, axis=1)[:, ::hop]`; with padding librosa's `center=True`"
    )
    sensitive: ClassVar[str] = "exact"

    length: int = param(whole(1, LIMITS.frame_max_samples), unit="samples", says="of a frame")
    hop: int = param(
        whole(1, LIMITS.frame_max_samples), unit="samples", says="from the begin of one frame to the next"
    )
    pad: str = param(one_of(*PADS), default="none", says=PAD_SAYS)
    samples: int = param(whole(0, LIMITS.samples_max), default=0, unit="samples", says=SAMPLES_SAYS)

    def problem(self) -> str:
        if self.samples and self.samples + 2 * self._margin < self.length:
            return f"{self.samples} samples are less than one frame of {self.length}"
        if self.pad == "reflect" and 0 < self.samples <= self._margin:
            return f"{self.samples} samples cannot be reflected over {self._margin}"
        return ""

    @property
    def _margin(self) -> int:
        return 0 if self.pad == "none" else self.length // 2

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, FLOATS, place)
        need_rank(after, (3,), place)
        if after.shape[2] not in (FREE, self.length):
            raise place.refused(f"it gives frames of {self.length}, and {after} is asked for")
        made = self._frames(self.samples)
        if FREE not in (made, after.shape[1]) and made != after.shape[1]:
            raise place.refused(f"{self.samples} samples make {made} frames, and {after} is asked for")
        return after.with_shape((after.shape[0], self.samples or FREE))

    def _frames(self, samples: int) -> int:
        return (samples + 2 * self._margin - self.length) // self.hop + 1 if samples > 0 else FREE

    def build(self, parts: GraphParts, value: Value) -> Value:
        """Whole blocks of gcd(length, hop) samples are gathered: few indices, and copies of some length."""
        need_dtype(value.type, FLOATS, parts.place)
        need_rank(value.type, (2,), parts.place)
        signal = self._padded(parts, value)
        block = math.gcd(self.length, self.hop)
        frames, known = self._count(parts, signal)
        starts = parts.node("Mul", self._upto(parts, frames, known), parts.whole(self.hop // block))
        inner = parts.constant(np.arange(self.length // block, dtype=np.int64))
        index = parts.node("Add", parts.node("Unsqueeze", starts, parts.whole(1)), inner)
        used = parts.node(
            "Add",
            parts.node("Mul", parts.node("Sub", frames, parts.whole(1)), parts.whole(self.hop)),
            parts.whole(self.length),
        )
        cut = parts.node("Slice", signal.name, parts.whole(0), used, parts.whole(1))
        blocks = parts.reshape(cut, (0, -1, block))
        gathered = parts.node("Gather", blocks, index, axis=1)
        return Value(
            name=parts.reshape(gathered, (0, 0, self.length)),
            type=value.type.with_shape((value.type.shape[0], known, self.length)),
        )

    def _padded(self, parts: GraphParts, value: Value) -> Value:
        if not self._margin:
            return value
        mode = "reflect" if self.pad == "reflect" else "constant"
        samples = value.type.shape[1]
        padded = parts.node("Pad", value.name, parts.whole(0, self._margin, 0, self._margin), mode=mode)
        return Value(
            name=padded,
            type=value.type.with_dim(1, samples + 2 * self._margin if samples != FREE else FREE),
        )

    def _count(self, parts: GraphParts, signal: Value) -> tuple[str, int]:
        samples = signal.type.shape[1]
        if samples != FREE:
            if samples < self.length:
                raise parts.place.refused(f"{signal.type} is shorter than one frame of {self.length}")
            count = (samples - self.length) // self.hop + 1
            return parts.whole(count), count
        spare = parts.node("Sub", parts.size_of(signal, 1), parts.whole(self.length))
        return parts.node("Add", parts.node("Div", spare, parts.whole(self.hop)), parts.whole(1)), FREE

    def _upto(self, parts: GraphParts, frames: str, known: int) -> str:
        if known != FREE:
            return parts.constant(np.arange(known, dtype=np.int64))
        zero, one = (parts.constant(np.array(number, np.int64)) for number in (0, 1))
        return parts.node("Range", zero, parts.node("Squeeze", frames), one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Elementwise):
    name: ClassVar[str] = "window"
    says: ClassVar[str] = "Multiplies the last axis by a window."
    equals: ClassVar[str] = (
        "`scipy.signal.get_window(kind, length)`, centred in the frame as librosa and torch do"
    )
    sensitive: ClassVar[str] = "exact"

    kind: str = param(one_of("hann", "hamming"), default="hann", says="which window")
    length: int = param(
        whole(0, LIMITS.frame_max_samples),
        default=0,
        unit="samples",
        says="0 is the whole frame; else centred",
    )
    periodic: bool = param(flag(), default=True, says="false: symmetric, as `numpy.hanning`")

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, FLOATS, parts.place)
        size = value.type.shape[-1]
        if value.type.rank < 2 or size == FREE or self.length > size:
            raise parts.place.refused(f"the last axis of {value.type} must be known, and at least the window")
        weights = window_of(self.kind, self.length or size, size, periodic=self.periodic)
        return Value(
            name=parts.node("Mul", value.name, parts.constant(weights.astype(value.type.dtype))),
            type=value.type,
        )


def window_of(kind: str, length: int, size: int, *, periodic: bool = True) -> Array:
    """float64 [size]: a window of `length` samples, centred between zeros.

    w[n] = a - (1 - a) · cos(2πn / M), a = 0.5 for hann and 0.54 for hamming, M = length if periodic, else
    length - 1.

    >>> window_of("hann", 4, 6).round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, 0.5, 0.0]
    """
    share = 0.5 if kind == "hann" else 0.54
    span = length if periodic else max(length - 1, 1)
    weights = share - (1 - share) * np.cos(2 * np.pi * np.arange(length) / span)
    if length == 1:
        weights = np.ones(1)
    begin = (size - length) // 2
    return np.pad(weights, (begin, size - length - begin))
