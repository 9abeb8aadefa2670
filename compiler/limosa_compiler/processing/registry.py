"""Every step by its name, as recipes and docs know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from limosa_compiler.processing.step import Step
from limosa_compiler.processing.steps.axes import Layout, Reshape, Squeeze, Transpose, Unsqueeze
from limosa_compiler.processing.steps.colour import Grayscale, SwapChannels
from limosa_compiler.processing.steps.ctc import CtcGreedy
from limosa_compiler.processing.steps.detections import Nms
from limosa_compiler.processing.steps.elementwise import (
    Cast,
    Clip,
    FillMissing,
    Log,
    Scale,
    Sigmoid,
    Temperature,
    Threshold,
)
from limosa_compiler.processing.steps.frames import Frame, Window
from limosa_compiler.processing.steps.log_mel import LogMel, Mfcc
from limosa_compiler.processing.steps.mel import Dct, Mel
from limosa_compiler.processing.steps.normalize import Normalize, NormalizeRow
from limosa_compiler.processing.steps.resize import Crop, Resize
from limosa_compiler.processing.steps.scores import ArgMax, LogSoftmax, Softmax, TopK
from limosa_compiler.processing.steps.sensor import Difference, Magnitude, Map, MovingAverage, OneHot
from limosa_compiler.processing.steps.spectrum import PowerSpectrum

_ANYWHERE: Final[Sequence[type[Step]]] = (Cast, Scale, Normalize, Clip, Transpose, Unsqueeze, Squeeze)
_IMAGES: Final[Sequence[type[Step]]] = (Resize, Crop, Layout, SwapChannels, Grayscale)
_SIGNALS: Final[Sequence[type[Step]]] = (
    Frame,
    Window,
    PowerSpectrum,
    Mel,
    Log,
    Dct,
    LogMel,
    Mfcc,
    NormalizeRow,
)
_SENSORS: Final[Sequence[type[Step]]] = (
    FillMissing,
    Difference,
    Magnitude,
    MovingAverage,
    OneHot,
    Map,
)
_SCORES: Final[Sequence[type[Step]]] = (Softmax, LogSoftmax, Sigmoid, Temperature, Threshold, ArgMax, TopK)

PREPROCESS_GROUPS: Final[Mapping[str, Sequence[type[Step]]]] = {
    "Any input": _ANYWHERE,
    "Images": _IMAGES,
    "Signals": _SIGNALS,
    "Sensors, tables and texts": _SENSORS,
}
POSTPROCESS_GROUPS: Final[Mapping[str, Sequence[type[Step]]]] = {
    "Any output": (*_ANYWHERE, Reshape, Log),
    "Classifiers": _SCORES,
    "Detectors and recognisers": (Nms, CtcGreedy),
}


def _by_name(groups: Mapping[str, Sequence[type[Step]]]) -> dict[str, type[Step]]:
    return {step.name: step for steps in groups.values() for step in steps}


PREPROCESS: Final[Mapping[str, type[Step]]] = _by_name(PREPROCESS_GROUPS)
POSTPROCESS: Final[Mapping[str, type[Step]]] = _by_name(POSTPROCESS_GROUPS)
