"""Area under the ROC curve, as a metric of a build: `python:benchmarks.datasets.auc:auc`.

Sums over rows suffice: scores are counted in fine bins of their log-odds, positives and negatives
apart. Scores in one bin count as tied.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 512
REACH: Final = 14.0  # log-odds beyond which scores are not told apart
NAME: Final = "python:benchmarks.datasets.auc:auc"


def auc(answers: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[N, 2 × BINS]: where each score lies. Answers are probabilities [N] or [N, K]: the last one counts.

    Sequences [N, T, 1] with labels [N, T] count every step; a step labelled below 0 counts nowhere.
    """
    true = labels.reshape(len(labels), -1)
    scores = answers[..., -1].astype(np.float64).reshape(true.shape) if answers.ndim > 1 else answers
    share = np.clip(scores.reshape(true.shape), 1e-9, 1 - 1e-9)
    odds = np.clip(np.log(share / (1 - share)), -REACH, REACH)
    at = np.minimum(((odds + REACH) * BINS / (2 * REACH)).astype(np.int64), BINS - 1)
    columns = np.zeros((len(true), 2 * BINS))
    rows = np.broadcast_to(np.arange(len(true))[:, None], true.shape)
    counted = true >= 0
    np.add.at(columns, (rows[counted], (at + BINS * (true > 0))[counted]), 1.0)
    return columns


def value(sums: npt.NDArray[np.float64], _rows: int) -> npt.NDArray[np.float64]:
    """P(a positive scores above a negative) + ½ P(the same); .5 where either is missing."""
    negative, positive = sums[..., :BINS], sums[..., BINS:]
    below = np.cumsum(negative, axis=-1) - 0.5 * negative
    pairs = negative.sum(axis=-1) * positive.sum(axis=-1)
    return np.where(pairs > 0, (positive * below).sum(axis=-1) / np.maximum(pairs, 1), 0.5)


auc.value = value  # type: ignore[attr-defined]  # how a metric of one's own says these things
auc.is_share = True  # type: ignore[attr-defined]  # likewise
