"""log_mel and mfcc: frame, window, power_spectrum, mel, log and dct as one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from limosa_compiler.processing.graph_parts import GraphParts, Place, Value
from limosa_compiler.processing.limits import LIMITS
from limosa_compiler.processing.parameters import number, one_of, param, whole
from limosa_compiler.processing.step import Step
from limosa_compiler.processing.steps.elementwise import Log
from limosa_compiler.processing.steps.frames import PAD_SAYS, PADS, SAMPLES_SAYS, WINDOWS, Frame, Window
from limosa_compiler.processing.steps.mel import AREA_SAYS, AREAS, FORMULA_SAYS, FORMULAS, Dct, Mel
from limosa_compiler.processing.steps.spectrum import TRANSFORM_SAYS, TRANSFORMS, PowerSpectrum
from limosa_compiler.processing.tensor_type import TensorType

_SENSITIVE: Final = (
    "silence: where the power is near the floor, 1e-6 of the peak is visible after the logarithm"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMel(Step):
    name: ClassVar[str] = "log_mel"
    says: ClassVar[str] = (
        "[N, samples] -> [N, frames, mels]: frame, window, power_spectrum, mel and log in one."
    )
    equals: ClassVar[str] = (
        "librosa's `melspectrogram(y, sr, n_fft, hop_length, win_length, power=2)` and a logarithm "
        '(`formula = "slaney"`, `area = "slaney"`, `pad = "zero"`); '
        'torchaudio\'s `MelSpectrogram` (`pad = "reflect"`)'
    )
    sensitive: ClassVar[str] = _SENSITIVE

    sample_rate: int = param(whole(1, LIMITS.rate_max_hz), unit="Hz", says="of the signal")
    fft_size: int = param(whole(2, LIMITS.fft_max), unit="samples", says="even")
    hop: int = param(whole(1, LIMITS.frame_max_samples), unit="samples", says="from frame to frame")
    mels: int = param(whole(1, LIMITS.mels_max), says="number of triangles")
    frame_length: int = param(
        whole(0, LIMITS.fft_max),
        default=0,
        unit="samples",
        says="0 is fft_size; less: zeros follow each frame",
    )
    window: str = param(one_of(*WINDOWS), default="hann", says="periodic")
    window_length: int = param(
        whole(0, LIMITS.fft_max), default=0, unit="samples", says="0 is the frame; less: centred in it"
    )
    pad: str = param(one_of(*PADS), default="none", says=PAD_SAYS)
    low_hz: float = param(
        number(0.0, LIMITS.rate_max_hz), default=0.0, unit="Hz", says="where the triangles begin"
    )
    high_hz: float = param(
        number(0.0, LIMITS.rate_max_hz),
        default=0.0,
        unit="Hz",
        says="where they end; 0 is half the sample rate",
    )
    formula: str = param(one_of(*FORMULAS), default="htk", says=FORMULA_SAYS)
    area: str = param(one_of(*AREAS), default="none", says=AREA_SAYS)
    log: str = param(one_of("natural", "log10", "db"), default="natural", says="as in `log`")
    floor: float = param(number(1e-30), default=1e-10, says="smaller powers count as this")
    add: float = param(number(0.0), default=0.0, says="is added to the power before")
    samples: int = param(whole(0, LIMITS.samples_max), default=0, unit="samples", says=SAMPLES_SAYS)
    transform: str = param(one_of(*TRANSFORMS), default="auto", says=TRANSFORM_SAYS)

    @property
    def _length(self) -> int:
        return self.frame_length or self.fft_size

    def parts_of(self) -> Sequence[Step]:
        windows = [Window(kind=self.window, length=self.window_length)] if self.window != "none" else []
        return (
            Frame(length=self._length, hop=self.hop, pad=self.pad, samples=self.samples),
            *windows,
            PowerSpectrum(fft_size=self.fft_size, transform=self.transform),
            Mel(
                sample_rate=self.sample_rate,
                mels=self.mels,
                low_hz=self.low_hz,
                high_hz=self.high_hz,
                formula=self.formula,
                area=self.area,
            ),
            Log(kind=self.log, floor=self.floor, add=self.add),
        )

    def problem(self) -> str:
        if self._length > self.fft_size or self.window_length > self._length:
            return "a frame is at most fft_size, and a window at most the frame"
        return next((why for step in self.parts_of() if (why := step.problem())), "")

    def before(self, after: TensorType, place: Place) -> TensorType:
        for step in reversed(self.parts_of()):
            after = step.before(after, place)
            if isinstance(step, PowerSpectrum):
                after = after.with_dim(2, self._length)
        return after

    def build(self, parts: GraphParts, value: Value) -> Value:
        for step in self.parts_of():
            value = step.build(parts, value)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Mfcc(LogMel):
    name: ClassVar[str] = "mfcc"
    says: ClassVar[str] = "[N, samples] -> [N, frames, coefficients]: log_mel, then dct."
    equals: ClassVar[str] = "librosa's `mfcc(S=log_mel)` with `norm=\"ortho\"`; torchaudio's `MFCC`"

    coefficients: int = param(whole(1, LIMITS.mels_max), default=13, says="how many are kept")

    def parts_of(self) -> Sequence[Step]:
        return (*LogMel.parts_of(self), Dct(coefficients=self.coefficients))

    def problem(self) -> str:
        if self.coefficients > self.mels:
            return f"{self.coefficients} coefficients are more than {self.mels} mels"
        return LogMel.problem(self)
