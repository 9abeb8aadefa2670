"""What parameters of processing steps may be: bounds on what a recipe can make a device spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingLimits:
    steps_max: int = 64  # of one recipe; each is a few nodes
    side_max_px: int = 8192  # of a resized or cropped image: 8192 × 8192 × 3 floats are 0.8 GB already
    channels_max: int = 4096  # values of a per-channel parameter
    rank_max: int = 8
    value_max: float = 1e30  # keeps products inside float32
    std_min: float = 1e-12  # a deviation to divide by
    samples_max: int = 16_000_000  # of one row of a signal: 5 minutes at 48 kHz
    frame_max_samples: int = 65_536
    fft_max: int = 8192
    matrix_fft_max: int = 2048  # its matrix takes 4 · fft · (fft + 2) bytes: 17 MB
    mels_max: int = 512
    rate_max_hz: int = 1_000_000
    classes_max: int = 65_536
    keys_max: int = 65_536  # of a map
    top_k_max: int = 1024
    detections_max: int = 1000  # rows that a detector gives per image


LIMITS: Final = ProcessingLimits()
