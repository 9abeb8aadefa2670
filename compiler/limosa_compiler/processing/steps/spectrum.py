"""Power spectra of frames.

Two ways to the same numbers, measured with onnxruntime 1.31 on one thread, 98 frames of 512 samples: the
operator STFT 0.8 ms and 2 KB of constants, a matrix of sines and cosines 0.3 ms and 1 MB. Where the
transform is no power of two, STFT takes 3.4 ms (at 400) and errs by 1.5e-5 of the peak, the matrix by 4e-7.
So: STFT for powers of two, since a small model must stay small; else the matrix; and the recipe may choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import one_of, param, whole
from limosa_compiler.processing.step import Step, need_dtype, need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType

TRANSFORMS: Final = ("auto", "fft", "matrix")
TRANSFORM_SAYS: Final = (
    "`fft` is small, `matrix` fast and large (4 · fft_size² bytes); `auto`: `fft` for powers of two"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSpectrum(Step):
    name: ClassVar[str] = "power_spectrum"
    says: ClassVar[str] = (
        "[N, frames, length] -> [N, frames, fft_size / 2 + 1]: |DFT|² of each frame, "
        "with zeros after it up to fft_size."
    )
    equals: ClassVar[str] = "`abs(numpy.fft.rfft(x, fft_size)) ** 2`, within 1e-6 of the frame's peak"
    sensitive: ClassVar[str] = "1e-6 of each frame's peak, so faint bins beside a loud one differ most"

    fft_size: int = param(whole(2, LIMITS.fft_max), unit="samples", says="even; at least the frame")
    transform: str = param(one_of(*TRANSFORMS), default="auto", says=TRANSFORM_SAYS)

    def problem(self) -> str:
        if self.fft_size % 2:
            return f"fft_size {self.fft_size} is odd"
        if not self._by_operator and self.fft_size > LIMITS.matrix_fft_max:
            return f"a matrix for {self.fft_size} samples is too large; at most {LIMITS.matrix_fft_max}"
        return ""

    @property
    def _by_operator(self) -> bool:
        power_of_two = self.fft_size & (self.fft_size - 1) == 0
        return self.transform == "fft" or (self.transform == "auto" and power_of_two)

    @property
    def _bins(self) -> int:
        return self.fft_size // 2 + 1

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_rank(after, (3,), place)
        if after.shape[2] not in (FREE, self._bins):
            raise place.refused(f"it gives {self._bins} bins, and {after} is asked for")
        return after.with_dim(2, FREE)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("float32",), parts.place)
        need_rank(value.type, (3,), parts.place)
        length = value.type.shape[2]
        if length == FREE or length > self.fft_size:
            raise parts.place.refused(
                f"frames of {value.type} must be of a known length up to {self.fft_size}"
            )
        made = self._operator(parts, value) if self._by_operator else self._matrix(parts, value.name, length)
        return Value(name=made, type=value.type.with_dim(2, self._bins))

    def _operator(self, parts: GraphParts, value: Value) -> str:
        """Each frame is a signal of its own, as long as the transform."""
        frames, name = value.type.shape[1], value.name
        missing = self.fft_size - value.type.shape[2]
        if missing:
            name = parts.node("Pad", name, parts.whole(0, 0, 0, 0, 0, missing))
        signals = parts.reshape(name, (-1, self.fft_size, 1))
        length = parts.constant(np.array(self.fft_size, np.int64))
        bins = parts.node("STFT", signals, length, "", length, onesided=1)
        power = parts.node(
            "ReduceSum", parts.node("Mul", bins, bins), parts.whole(-1), keepdims=0
        )  # [N · frames, 1, bins]
        if frames != FREE:
            return parts.reshape(power, (-1, frames, self._bins))
        shape = parts.node(
            "Concat", parts.whole(-1), parts.size_of(value, 1), parts.whole(self._bins), axis=0
        )
        return parts.node("Reshape", power, shape)

    def _matrix(self, parts: GraphParts, name: str, length: int) -> str:
        waves = parts.constant(dft_matrix(length, self.fft_size).astype(np.float32))
        both = parts.node("MatMul", name, waves)
        squares = parts.node("Mul", both, both)
        first, second = (
            parts.node("Slice", squares, parts.whole(begin), parts.whole(end), parts.whole(2))
            for begin, end in ((0, self._bins), (self._bins, 2 * self._bins))
        )
        return parts.node("Add", first, second)


def dft_matrix(length: int, fft_size: int) -> Array:
    """float64 [length, 2 · bins]: cosines, then sines. Angles are reduced as whole numbers first: exact."""
    turns = np.outer(np.arange(length), np.arange(fft_size // 2 + 1)) % fft_size
    angles = 2 * np.pi * turns / fft_size
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
