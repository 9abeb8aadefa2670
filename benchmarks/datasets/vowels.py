"""JapaneseVowels: which of nine men says "ae", from 12 cepstrum coefficients over time.

640 utterances of 7 to 29 frames (Kudo, Toyama, Shimbo 1999; CC BY 4.0), as aeon ships them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.case import LABEL, Case
from benchmarks.real_models import file_path

INPUT = "cepstra"
FRAMES, COEFFICIENTS, SPEAKERS = 29, 12, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterances:
    """`cepstra` float32 [N, 29, 12], zeros *before* a shorter one; `speaker` int64 [N] in 0..8."""

    cepstra: npt.NDArray[np.float32]
    speaker: npt.NDArray[np.int64]


def read_utterances(path: Path) -> Utterances:
    """A .ts file: dimensions parted by colons, the class last; comments `#`, header `@`."""
    rows: list[npt.NDArray[np.float32]] = []
    speakers: list[int] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line[0] in "#@":
            continue
        *dimensions, speaker = line.split(":")
        frames = np.array([values.split(",") for values in dimensions], np.float32).T
        row = np.zeros((FRAMES, COEFFICIENTS), np.float32)
        row[FRAMES - len(frames) :] = frames
        rows.append(row)
        speakers.append(int(speaker) - 1)
    return Utterances(cepstra=np.stack(rows), speaker=np.array(speakers, np.int64))


def train_utterances() -> Utterances:
    """The 270 for training. Raises Unobtainable."""
    return read_utterances(file_path("vowels_train"))


def vowels() -> Case:
    """Calibrated on what the GRU was trained on, which is all there is; evaluated on the data set's test."""
    test = read_utterances(file_path("vowels_test"))
    return Case(
        calibration={INPUT: train_utterances().cepstra},
        evaluation={INPUT: test.cepstra, LABEL: test.speaker},
        truth="labels of the data set",
    )
