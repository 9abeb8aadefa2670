"""Answers as numbers: root mean square error, and agreement with a reference (cosine, SQNR)."""

from __future__ import annotations

from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale, mean

SQNR_MAX_DB: Final = 200.0  # what no noise at all counts as: beyond the precision of doubles
_NOTHING: Final = 1e-300


def check_same_width(answers: Array, labels: Array, where: str) -> None:
    """Raises DataMismatch: labels have as many numbers per row as the output."""
    if labels.dtype.kind not in "biuf":
        raise DataMismatch("labels must be numbers", where=where, why=labels.dtype.name)
    if labels.reshape(len(labels), -1).shape[1] != answers.reshape(len(answers), -1).shape[1]:
        raise DataMismatch(
            "labels and outputs have different shapes",
            where=where,
            why=f"labels {list(labels.shape[1:])}, output {list(answers.shape[1:])} per row",
            hint="cosine and sqnr compare with fp32's answers where [data] label names no array",
        )


def _pair(answers: Array, labels: Array) -> tuple[Doubles, Doubles]:
    return (
        np.asarray(answers.reshape(len(answers), -1), np.float64),
        np.asarray(labels.reshape(len(labels), -1), np.float64),
    )


def _squares(answers: Array, labels: Array) -> Doubles:
    ours, theirs = _pair(answers, labels)
    return np.asarray(((ours - theirs) ** 2).mean(axis=1), np.float64)[:, None]


def _root(sums: Doubles, rows: int) -> Doubles:
    return np.asarray(np.sqrt(sums[..., 0] / rows))


def _cosine(answers: Array, labels: Array) -> Doubles:
    """[N, 1] in -1 to 1. Two rows of zeros agree; one row of zeros agrees with nothing."""
    ours, theirs = _pair(answers, labels)
    ours_length, theirs_length = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    both = ours_length * theirs_length
    angle = np.where(both > 0, (ours * theirs).sum(axis=1) / np.maximum(both, _NOTHING), 0.0)
    same = (ours == theirs).all(axis=1)  # exactly 1, whatever rounding makes of the quotient
    return np.asarray(np.where(same, 1.0, np.clip(angle, -1.0, 1.0)), np.float64)[:, None]


def _powers(answers: Array, labels: Array) -> Doubles:
    """[N, 2]: power of the reference, power of the difference."""
    ours, theirs = _pair(answers, labels)
    return np.stack([(theirs**2).sum(axis=1), ((ours - theirs) ** 2).sum(axis=1)], axis=1)


def _decibels(sums: Doubles, _rows: int) -> Doubles:
    signal, noise = sums[..., 0], sums[..., 1]
    ratio = np.maximum(signal, _NOTHING) / np.maximum(noise, _NOTHING)
    return np.asarray(np.clip(10.0 * np.log10(ratio), -SQNR_MAX_DB, SQNR_MAX_DB))


RMSE: Final = Metric(
    name="rmse",
    higher_is_better=False,
    scale=Scale.RELATIVE,
    labels=Labels.LIKE_OUTPUT,
    columns=_squares,
    value=_root,
    check=check_same_width,
)
COSINE: Final = Metric(
    name="cosine",
    higher_is_better=True,
    scale=Scale.SHARE,
    labels=Labels.LIKE_OUTPUT,
    columns=_cosine,
    value=mean,
    check=check_same_width,
    needs_labels=False,
)
SQNR: Final = Metric(
    name="sqnr",
    higher_is_better=True,
    scale=Scale.NOISE,
    labels=Labels.LIKE_OUTPUT,
    columns=_powers,
    value=_decibels,
    check=check_same_width,
    needs_labels=False,
)
