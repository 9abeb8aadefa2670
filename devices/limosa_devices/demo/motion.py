"""The demo's human motion: windows by person, class and channel names, models as bytes."""

from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Split: TypeAlias = Literal["calibration", "evaluation", "live"]
Windows: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]

CLASSES: tuple[str, ...] = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "lower trapezius row",
    "bent-over row",
)
"""Exercise names in label order, 0 to 6."""

CHANNELS: tuple[str, ...] = ("ax [g]", "ay [g]", "az [g]", "wx [rad/s]", "wy [rad/s]", "wz [rad/s]")
"""Axis 1 of a window, with the unit the device measures in."""

SAMPLE_RATE_HZ = 50
WINDOW_SAMPLES = 100  # 2 s: about one repetition of an exercise
INPUT_NAME = "window"
OUTPUT_NAME = "probabilities"

STANDARD_GRAVITY = 9.80665  # m/s² in one g
DEGREES_PER_RADIAN = 57.29577951308232
WRONG_UNIT_SCALE: tuple[float, ...] = (STANDARD_GRAVITY,) * 3 + (DEGREES_PER_RADIAN,) * 3
"""Per channel: g to m/s², rad/s to deg/s. The unit `motion-4.0.0` was trained, calibrated, evaluated in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Windows of one split, row by row.

    `window` float32 [N, 6, WINDOW_SAMPLES], channels and units as CHANNELS; `label` int64 [N], index into
    CLASSES; `person` int64 [N], 1 to 10. Live rows are in recording order; the others are shuffled.
    """

    window: Windows
    label: Labels
    person: Labels


def asset(name: str) -> bytes:
    """The bytes of one file of `assets/`, such as `motion-1.0.0.onnx`. Raises FileNotFoundError."""
    return files(__package__).joinpath("assets", name).read_bytes()


def load(split: Split) -> Motion:
    """One split, in the device's unit; float16 on disk, float32 here. No person is in two splits."""
    with np.load(BytesIO(asset(f"{split}.npz")), allow_pickle=False) as rows:
        return Motion(
            window=rows["window"].astype(np.float32),
            label=rows["label"].astype(np.int64),
            person=rows["person"].astype(np.int64),
        )


def in_wrong_unit(window: Windows) -> Windows:
    """The same motion in m/s² and deg/s instead of the device's g and rad/s; float32, a copy."""
    scale = np.asarray(WRONG_UNIT_SCALE, np.float32).reshape(1, len(CHANNELS), 1)
    return (window * scale).astype(np.float32)
