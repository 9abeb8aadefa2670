"""One class per row: accuracy, macro F1, top-k."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale, mean

_SHAPE_HINT: Final = "name the output with a score per class: [metric] output = …"


def classes_of(answers: Array) -> npt.NDArray[np.int64]:
    """The class that each row answers: the largest of [N, K], or [N] itself if whole numbers.

    Raises DataMismatch for other shapes.
    """
    if answers.ndim == 2 and answers.shape[1] > 1:
        return np.asarray(answers.argmax(axis=1), np.int64)
    if answers.size == len(answers) and np.issubdtype(answers.dtype, np.integer):
        return np.asarray(answers.reshape(-1), np.int64)
    raise DataMismatch(
        "the model's output names no class", where="metric.output", why=_shape(answers), hint=_SHAPE_HINT
    )


def check_classes(answers: Array, labels: Array, where: str) -> None:
    """Raises DataMismatch: labels are [N] whole numbers, of classes that the output has."""
    classes_of(answers[:1])
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(labels):
        raise DataMismatch(
            "labels must be one whole number per row",
            where=where,
            why=f"{labels.dtype.name} {list(labels.shape)}",
            hint="one-hot labels: save labels.argmax(axis=1)"
            if labels.ndim == 2 and labels.shape[1] > 1
            else "save labels.astype('int64'), or texts that are among classes",
        )
    if answers.ndim == 2 and not 0 <= int(labels.min()) <= int(labels.max()) < answers.shape[1]:
        raise DataMismatch(
            "labels name classes that the model does not have",
            where=where,
            why=f"labels {int(labels.min())} to {int(labels.max())}, classes 0 to {answers.shape[1] - 1}",
        )


def top_k(k: int) -> Metric:
    """Share of rows whose label is among the k highest scores of [N, K]; of equal scores the lower class."""

    def columns(answers: Array, labels: Array) -> Doubles:
        ranked = np.argsort(-answers.astype(np.float64), axis=1, kind="stable")[:, :k]
        return np.asarray((ranked == labels.reshape(-1, 1)).any(axis=1), np.float64)[:, None]

    def check(answers: Array, labels: Array, where: str) -> None:
        if answers.ndim != 2 or answers.shape[1] <= k:
            raise DataMismatch(
                f"top{k} needs more than {k} scores per row",
                where="metric.output",
                why=_shape(answers),
                hint=_SHAPE_HINT,
            )
        check_classes(answers, labels, where)

    return Metric(
        name=f"top{k}",
        higher_is_better=True,
        scale=Scale.SHARE,
        labels=Labels.CLASS,
        columns=columns,
        value=mean,
        check=check,
    )


def _shape(answers: Array) -> str:
    return f"it has shape {list(answers.shape)} and type {answers.dtype.name}"


def _correct(answers: Array, labels: Array) -> Doubles:
    return np.asarray(classes_of(answers) == labels.reshape(-1), np.float64)[:, None]


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


ACCURACY: Final = Metric(
    name="accuracy",
    higher_is_better=True,
    scale=Scale.SHARE,
    labels=Labels.CLASS,
    columns=_correct,
    value=mean,
    check=check_classes,
)
MACRO_F1: Final = Metric(
    name="macro_f1",
    higher_is_better=True,
    scale=Scale.SHARE,
    labels=Labels.CLASS,
    columns=_confusion,
    value=_macro_f1,
    check=check_classes,
    by_row=False,  # columns are of the classes that occur, where the output names one
)
