"""Mel filterbank over power spectra, and cosines over its logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import number, one_of, param, whole
from limosa_compiler.processing.step import Step, need_dtype, need_rank
from limosa_compiler.processing.tensor_type import FREE, TensorType

FORMULAS: Final = ("htk", "slaney")
AREAS: Final = ("none", "slaney")
FORMULA_SAYS: Final = "`htk`: 2595 · log10(1 + f / 700); `slaney`: linear below 1 kHz, logarithmic above"
AREA_SAYS: Final = "`slaney`: each triangle is divided by half its width in Hz, as librosa does"
_LINEAR_HZ: Final = 200 / 3  # per mel, below the break
_BREAK_HZ: Final = 1000.0
_LOG_STEP: Final = np.log(6.4) / 27  # per mel, above it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mel(Step):
    name: ClassVar[str] = "mel"
    says: ClassVar[str] = "[N, frames, bins] -> [N, frames, mels]: triangles of equal width in mel."
    equals: ClassVar[str] = "`power @ librosa.filters.mel(...).T`; torchaudio's `melscale_fbanks`"

    sample_rate: int = param(whole(1, LIMITS.rate_max_hz), unit="Hz", says="of the signal")
    mels: int = param(whole(1, LIMITS.mels_max), says="number of triangles")
    low_hz: float = param(number(0.0, LIMITS.rate_max_hz), default=0.0, unit="Hz", says="where they begin")
    high_hz: float = param(
        number(0.0, LIMITS.rate_max_hz),
        default=0.0,
        unit="Hz",
        says="where they end; 0 is half the sample rate",
    )
    formula: str = param(one_of(*FORMULAS), default="htk", says=FORMULA_SAYS)
    area: str = param(one_of(*AREAS), default="none", says=AREA_SAYS)

    def problem(self) -> str:
        high = self.high_hz or self.sample_rate / 2
        if not self.low_hz < high <= self.sample_rate / 2:
            return f"{self.low_hz} to {high} Hz is not inside 0 to {self.sample_rate / 2}"
        return ""

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_rank(after, (3,), place)
        if after.shape[2] not in (FREE, self.mels):
            raise place.refused(f"it gives {self.mels} mels, and {after} is asked for")
        return after.with_dim(2, FREE)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("float32",), parts.place)
        need_rank(value.type, (3,), parts.place)
        bins = value.type.shape[2]
        if not 1 < bins <= LIMITS.fft_max:
            raise parts.place.refused(f"the number of bins of {value.type} must be known")
        bank = mel_bank(
            bins,
            sample_rate=self.sample_rate,
            mels=self.mels,
            low_hz=self.low_hz,
            high_hz=self.high_hz or self.sample_rate / 2,
            formula=self.formula,
            area=self.area,
        )
        empty = int((bank.max(axis=0) <= 0).sum())
        if empty:
            raise parts.place.refused(
                f"{empty} of {self.mels} triangles are narrower than a bin, and would always be 0",
                hint="fewer mels, or a larger fft_size",
            )
        made = parts.node("MatMul", value.name, parts.constant(bank.astype(np.float32)))
        return Value(name=made, type=value.type.with_dim(2, self.mels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dct(Step):
    name: ClassVar[str] = "dct"
    says: ClassVar[str] = "The first coefficients of the orthonormal DCT-II of the last axis."
    equals: ClassVar[str] = '`scipy.fft.dct(x, type=2, norm="ortho")[..., :coefficients]`'

    coefficients: int = param(whole(1, LIMITS.mels_max), says="how many are kept")

    def before(self, after: TensorType, place: Place) -> TensorType:
        need_dtype(after, ("float32",), place)
        if after.rank < 2 or after.shape[-1] not in (FREE, self.coefficients):
            raise place.refused(f"it gives {self.coefficients} coefficients, and {after} is asked for")
        return after.with_dim(-1, FREE)

    def build(self, parts: GraphParts, value: Value) -> Value:
        need_dtype(value.type, ("float32",), parts.place)
        width = value.type.shape[-1]
        if value.type.rank < 2 or not self.coefficients <= width <= LIMITS.channels_max:
            raise parts.place.refused(
                f"{self.coefficients} coefficients are more than {value.type} has, or it is free"
            )
        cosines = dct_matrix(width, self.coefficients).astype(np.float32)
        made = parts.node("MatMul", value.name, parts.constant(cosines))
        return Value(name=made, type=value.type.with_dim(-1, self.coefficients))


def mel_bank(
    bins: int, *, sample_rate: int, mels: int, low_hz: float, high_hz: float, formula: str, area: str
) -> Array:
    """float64 [bins, mels], >= 0. Bins lie evenly between 0 Hz and half the sample rate.

    Slaney's formula and area are those of his Auditory Toolbox (1998), HTK's of The HTK Book, 5.4.
    """
    edges = hz_of_mel(
        np.linspace(mel_of_hz(np.array(low_hz), formula), mel_of_hz(np.array(high_hz), formula), mels + 2),
        formula,
    )
    frequencies = np.linspace(0, sample_rate / 2, bins)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(bank * (2 / (edges[2:] - edges[:-2])) if area == "slaney" else bank)


def mel_of_hz(hz: Array, formula: str) -> Array:
    """
    >>> [round(float(mel_of_hz(np.array(1000.0), formula)), 2) for formula in ("htk", "slaney")]
    [999.99, 15.0]
    """
    if formula == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    above = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ, above)


def hz_of_mel(mel: Array, formula: str) -> Array:
    """The inverse of `mel_of_hz`."""
    if formula == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    start = _BREAK_HZ / _LINEAR_HZ
    return np.where(
        mel < start, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, start) - start))
    )


def dct_matrix(width: int, coefficients: int) -> Array:
    """float64 [width, coefficients] of the orthonormal DCT-II."""
    angles = np.pi / width * np.outer(np.arange(width) + 0.5, np.arange(coefficients))
    scale = np.full(coefficients, np.sqrt(2 / width))
    scale[0] = np.sqrt(1 / width)
    return np.asarray(np.cos(angles) * scale)
