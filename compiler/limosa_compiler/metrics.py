"""How good answers are: metrics as sums over rows, so that resampling rows is one product (compiler 1.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch, UnknownMetric

Doubles: TypeAlias = npt.NDArray[np.float64]
RESAMPLES: Final = 2000
SEED: Final = 20_011_999
ONE_SIDED: Final = 0.05
_CHUNK_NUMBERS: Final = 4_000_000  # bounds memory while resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`columns(answers, labels)` [N, C] are summed over rows; `value(sums [..., C], n)` [...] is the metric.

    A share lies in 0..1, and its points are percentage points; other metrics' points are percent of
    what fp32 has.
    """

    name: str
    higher_is_better: bool
    is_share: bool
    classifies: bool
    columns: Callable[[Array, Array], Doubles]
    value: Callable[[Doubles, int], Doubles]

    def of(self, columns: Doubles) -> float:
        return float(self.value(columns.sum(axis=0), len(columns)))

    def points(self, value: Doubles, reference: Doubles) -> Doubles:
        """How many points better than the reference; negative is worse.

        >>> accuracy = METRICS["accuracy"]
        >>> round(float(accuracy.points(np.float64(0.87), np.float64(0.88))), 6)
        -1.0
        """
        better = (value - reference) if self.higher_is_better else (reference - value)
        scale = 1.0 if self.is_share else np.maximum(np.abs(reference), 1e-12)
        return np.asarray(100.0 * better / scale)


def metric_named(name: str) -> Metric:
    """Raises UnknownMetric."""
    if name not in METRICS:
        raise UnknownMetric(
            f"there is no metric {name!r}", where="metric.name", hint=f"metrics: {', '.join(sorted(METRICS))}"
        )
    return METRICS[name]


def lower_bound(metric: Metric, columns: Doubles, reference: Doubles) -> float:
    """Points against the reference that are exceeded with 95 % confidence: a paired bootstrap.

    Both are resampled by the same rows, with a fixed seed: the same answers give the same bound.
    """
    rows = len(columns)
    draw = np.random.default_rng(SEED)
    each = max(1, min(RESAMPLES, _CHUNK_NUMBERS // rows))
    found: list[Doubles] = []
    for begin in range(0, RESAMPLES, each):
        size = min(each, RESAMPLES - begin)
        weights = draw.multinomial(rows, np.full(rows, 1.0 / rows), size=size).astype(np.float64)
        ours = metric.value(weights @ columns, rows)
        theirs = metric.value(weights @ reference, rows)
        found.append(metric.points(ours, theirs))
    return float(np.quantile(np.concatenate(found), ONE_SIDED))


def classes_of(answers: Array) -> npt.NDArray[np.int64]:
    """The class that each row answers: the largest of [N, K], or [N] itself if whole numbers.

    Raises DataMismatch for other shapes.
    """
    if answers.ndim == 2 and answers.shape[1] > 1:
        return np.asarray(answers.argmax(axis=1), np.int64)
    if answers.size == len(answers) and np.issubdtype(answers.dtype, np.integer):
        return np.asarray(answers.reshape(-1), np.int64)
    raise DataMismatch(
        "the model's output names no class",
        where="metric.output",
        why=f"it has shape {list(answers.shape)} and type {answers.dtype.name}",
        hint="name the output with a score per class: [metric] output = …",
    )


def check_labels(metric: Metric, answers: Array, labels: Array, *, where: str) -> None:
    """Raises DataMismatch if these labels cannot be compared with these answers."""
    if not metric.classifies:
        if labels.reshape(len(labels), -1).shape[1] != answers.reshape(len(answers), -1).shape[1]:
            raise DataMismatch("labels and outputs have different shapes", where=where, why=str(labels.shape))
        return
    classes_of(answers[:1])
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(labels):
        raise DataMismatch("labels must be one whole number per row", where=where, why=labels.dtype.name)
    if answers.ndim == 2 and not 0 <= int(labels.min()) <= int(labels.max()) < answers.shape[1]:
        raise DataMismatch(
            "labels name classes that the model does not have",
            where=where,
            why=f"labels {int(labels.min())} to {int(labels.max())}, classes 0 to {answers.shape[1] - 1}",
        )


def _correct(answers: Array, labels: Array) -> Doubles:
    return np.asarray(classes_of(answers) == labels.reshape(-1), np.float64)[:, None]


def _mean(sums: Doubles, rows: int) -> Doubles:
    return np.asarray(sums[..., 0] / rows)


def _confusion(answers: Array, labels: Array) -> Doubles:
    """[N, 3 K]: hit, answered, true, per class."""
    said, true = classes_of(answers), labels.reshape(-1)
    width = max(answers.shape[1] if answers.ndim == 2 else 0, int(max(said.max(), true.max())) + 1)
    one_hot = np.eye(width)
    return np.concatenate([one_hot[said] * one_hot[true], one_hot[said], one_hot[true]], axis=1)


def _macro_f1(sums: Doubles, _rows: int) -> Doubles:
    """Over classes that occur or were answered."""
    hit, said, true = np.split(sums, 3, axis=-1)
    present = said + true
    scores = np.where(present > 0, 2 * hit / np.maximum(present, 1e-12), 0.0)
    return np.asarray(scores.sum(axis=-1) / np.maximum((present > 0).sum(axis=-1), 1))


def _squares(answers: Array, labels: Array) -> Doubles:
    difference = answers.reshape(len(answers), -1).astype(np.float64) - labels.reshape(len(labels), -1)
    return np.asarray((difference**2).mean(axis=1), np.float64)[:, None]


def _root(sums: Doubles, rows: int) -> Doubles:
    return np.asarray(np.sqrt(sums[..., 0] / rows))


METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            name="accuracy",
            higher_is_better=True,
            is_share=True,
            classifies=True,
            columns=_correct,
            value=_mean,
        ),
        Metric(
            name="macro_f1",
            higher_is_better=True,
            is_share=True,
            classifies=True,
            columns=_confusion,
            value=_macro_f1,
        ),
        Metric(
            name="rmse",
            higher_is_better=False,
            is_share=False,
            classifies=False,
            columns=_squares,
            value=_root,
        ),
    )
}
