"""Boxes found in pictures: mean average precision at an overlap of one half.

Answers [N, D, 6]: x1, y1, x2, y2, score in 0..1, class; a score of 0 or below fills up.
Labels [N, M, 5]: x1, y1, x2, y2, class; class -1 fills up. Corners are in one unit, whichever.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale

OVERLAP_MIN: Final = 0.5
SCORE_STEPS: Final = 100  # scores are ranked in steps of 1/100, so that rows can be summed
RECALLS: Final = np.linspace(0.0, 1.0, 101)


def overlaps(ours: Doubles, theirs: Doubles) -> Doubles:
    """Intersection over union of boxes [A, 4] and [B, 4]: [A, B] in 0..1.

    >>> box = np.array([[0.0, 0.0, 2.0, 2.0]])
    >>> overlaps(box, np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(np.clip(side[:, 2:] - side[:, :2], 0.0, None), axis=1) for side in (ours, theirs)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.where(union > 0, shared / np.maximum(union, 1e-300), 0.0))


def _columns(answers: Array, labels: Array) -> Doubles:
    """[N, K (2 S + 1)]: per class of the labels, hits and misses by step of score, and boxes there are."""
    classes = np.unique(labels[..., 4][labels[..., 4] >= 0])
    result = np.zeros((len(answers), len(classes), 2 * SCORE_STEPS + 1))
    for row, (found, true) in enumerate(zip(answers, labels, strict=True)):
        for number, name in enumerate(classes):
            boxes = np.asarray(true[true[:, 4] == name][:, :4], np.float64)
            said = np.asarray(found[(found[:, 5] == name) & (found[:, 4] > 0)], np.float64)
            said = said[np.argsort(-said[:, 4], kind="stable")]
            steps = np.clip((said[:, 4] * SCORE_STEPS).astype(np.int64), 0, SCORE_STEPS - 1)
            hits = _hits(said[:, :4], boxes)
            np.add.at(result[row, number], steps[hits], 1.0)
            np.add.at(result[row, number], SCORE_STEPS + steps[~hits], 1.0)
            result[row, number, -1] = len(boxes)
    return result.reshape(len(answers), -1)


def _hits(said: Doubles, boxes: Doubles) -> Array:
    """Best score first; each takes the free box that it overlaps most, if by enough."""
    hits = np.zeros(len(said), dtype=bool)
    if not len(boxes):
        return hits
    shared = overlaps(said, boxes)
    free = np.ones(len(boxes), dtype=bool)
    for number in range(len(said)):
        best = int(np.where(free, shared[number], -1.0).argmax())
        if free[best] and shared[number, best] >= OVERLAP_MIN:
            hits[number], free[best] = True, False
    return hits


def _mean_precision(sums: Doubles, _rows: int) -> Doubles:
    """Precision, made to fall only, at 101 recalls; mean over classes that have boxes (as COCO does)."""
    parts = sums.reshape(*sums.shape[:-1], -1, 2 * SCORE_STEPS + 1)
    hit = parts[..., SCORE_STEPS - 1 :: -1][..., :SCORE_STEPS].cumsum(axis=-1)
    miss = parts[..., 2 * SCORE_STEPS - 1 : SCORE_STEPS - 1 : -1].cumsum(axis=-1)
    boxes = parts[..., -1]
    precision = hit / np.maximum(hit + miss, 1.0)
    precision = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    recall = hit / np.maximum(boxes, 1.0)[..., None]
    total = np.zeros(boxes.shape)
    for bar in RECALLS:
        reached = recall >= bar - 1e-12
        first = reached.argmax(axis=-1)[..., None]
        total += np.where(reached.any(axis=-1), np.take_along_axis(precision, first, axis=-1)[..., 0], 0.0)
    there = boxes > 0
    average = np.where(there, total / len(RECALLS), 0.0)
    return np.asarray(average.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1))


def _check(answers: Array, labels: Array, where: str) -> None:
    if answers.ndim != 3 or answers.shape[2] != 6:
        raise DataMismatch(
            "map reads no boxes from this output",
            where="metric.output",
            why=f"it has shape {list(answers.shape)}",
            hint="[N, D, 6]: x1, y1, x2, y2, score, class",
        )
    if labels.ndim != 3 or labels.shape[2] != 5 or labels.dtype.kind not in "iuf":
        raise DataMismatch(
            "labels are no boxes",
            where=where,
            why=f"shape {list(labels.shape)}, type {labels.dtype.name}",
            hint="[N, M, 5]: x1, y1, x2, y2, class; class -1 fills up",
        )
    if not (labels[..., 4] >= 0).any():
        raise DataMismatch("there is not one box in the labels", where=where)


MAP: Final = Metric(
    name="map",
    higher_is_better=True,
    scale=Scale.SHARE,
    labels=Labels.BOXES,
    columns=_columns,
    value=_mean_precision,
    check=_check,
    by_row=False,  # columns are of the classes that occur
)
