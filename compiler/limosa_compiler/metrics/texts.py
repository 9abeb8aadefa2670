"""Texts read or heard: character and word error rate, by edit distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.errors import DataMismatch
from limosa_compiler.metrics.metric import Doubles, Labels, Metric, Scale

BLANK: Final = 0  # of CTC: the first of `classes`
FILL: Final = -1  # fills rows of positions up


def edit_distance(ours: Sequence[object], theirs: Sequence[object]) -> int:
    """Fewest insertions, deletions and replacements that make one of the other (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting"), edit_distance("", "abc"), edit_distance("abc", "abc")
    (3, 3, 0)
    """
    known: dict[object, int] = {}
    left, right = (
        np.array([known.setdefault(item, len(known)) for item in side], np.int64) for side in (ours, theirs)
    )
    steps = np.arange(len(right) + 1)
    row = steps.copy()
    for number, item in enumerate(left, start=1):
        best = np.concatenate(([number], np.minimum(row[1:] + 1, row[:-1] + (right != item))))
        row = np.minimum.accumulate(best - steps) + steps  # insertions, from left to right
    return int(row[-1])


def ctc_positions(logits: Array) -> list[tuple[int, ...]]:
    """[N, T, K] decoded greedily: best of each step, repeats merged, blanks dropped.

    >>> steps = np.eye(3)[[[1, 1, 0, 1, 2, 2]]]
    >>> ctc_positions(steps)
    [(1, 1, 2)]
    """
    best = logits.argmax(axis=2)
    kept = (best != BLANK) & (np.diff(best, axis=1, prepend=BLANK - 1) != 0)
    return [tuple(int(item) for item in row[keep]) for row, keep in zip(best, kept, strict=True)]


def error_rate(name: str, classes: Sequence[str]) -> Metric:
    """`cer` or `wer`: edits, over the number of characters or words in the labels; may exceed 1.

    `classes` is the alphabet, the blank first. Without one, positions are compared, which is a `cer`.
    """
    alphabet = tuple(classes)

    def units(rows: Array, *, decode: bool) -> list[Sequence[object]]:
        spoken = _positions(rows, decode=decode)
        if spoken is not None and not alphabet:
            return list(spoken)
        texts = (
            ["".join(alphabet[at] for at in row) for row in spoken]
            if spoken is not None
            else [str(text) for text in rows.reshape(-1)]
        )
        return [text.split() if name == "wer" else text for text in texts]

    def columns(answers: Array, labels: Array) -> Doubles:
        pairs = zip(units(answers, decode=True), units(labels, decode=False), strict=True)
        return np.array([(edit_distance(ours, true), len(true)) for ours, true in pairs], np.float64)

    def check(answers: Array, labels: Array, where: str) -> None:
        _check(name, alphabet, answers, labels, where)

    return Metric(
        name=name,
        higher_is_better=False,
        scale=Scale.SHARE,
        labels=Labels.TEXT,
        columns=columns,
        value=_rate,
        check=check,
    )


def _rate(sums: Doubles, _rows: int) -> Doubles:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1.0))


def _positions(rows: Array, *, decode: bool) -> list[tuple[int, ...]] | None:
    """None for texts."""
    if rows.dtype.kind in "OUS":
        return None
    if decode and rows.ndim == 3:
        return ctc_positions(rows)
    flat = rows.reshape(len(rows), -1)
    return [tuple(int(item) for item in row[row != FILL]) for row in flat]


def _check(name: str, alphabet: tuple[str, ...], answers: Array, labels: Array, where: str) -> None:
    logits = answers.ndim == 3 and answers.dtype.kind == "f"
    if not logits and not (answers.ndim == 2 and answers.dtype.kind in "iu"):
        raise DataMismatch(
            f"{name} reads no text from this output",
            where="metric.output",
            why=f"it has shape {list(answers.shape)} and type {answers.dtype.name}",
            hint="it takes CTC scores [N, T, K], or positions [N, L] in classes",
        )
    if labels.dtype.kind not in "OUSiu" or (labels.dtype.kind in "OUS" and labels.size != len(labels)):
        raise DataMismatch("labels must be one text per row", where=where, why=labels.dtype.name)
    if not alphabet and (name == "wer" or labels.dtype.kind in "OUS"):
        raise DataMismatch(
            f"{name} needs the alphabet to read answers",
            where="classes",
            hint='classes = ["", "a", "b", …], the blank first',
        )
    if logits and alphabet and answers.shape[2] != len(alphabet):
        raise DataMismatch(
            f"the alphabet has {len(alphabet)} entries, the output {answers.shape[2]}",
            where="classes",
            hint="list every position of the output, the blank first",
        )
    if (
        labels.dtype.kind in "iu"
        and alphabet
        and not FILL <= int(labels.min()) <= int(labels.max()) < len(alphabet)
    ):
        raise DataMismatch("labels name positions that the alphabet does not have", where=where)
