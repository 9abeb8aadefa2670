"""Where a candidate is wrong on holdout rows: a confusion matrix, or its worst rows (compiler 6.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows
from limosa_compiler.data.spooled import spooled
from limosa_compiler.evidence.parts import PAIRS_MAX, SAMPLES_MAX, Confused, Mistakes, WorstRow
from limosa_compiler.metrics import Metric, classes_of

_NUMBERS_MAX: Final = 6  # of a label or answer that a note shows


def mistakes_of(
    candidate: str, answers: Iterable[Array], rows: Rows, *, metric: Metric, classes: Sequence[str]
) -> Mistakes:
    """Pairs of classes where the metric is about classes, else the worst rows. No labels: nothing.

    `answers` [n, ...] come some rows at a time, in order, and are not kept.
    """
    if rows.labels is None:
        return Mistakes(candidate=candidate)
    if metric.classifies:
        said = np.concatenate([classes_of(some) for some in answers])
        return _confusion(candidate, said, rows.labels, classes)
    return Mistakes(candidate=candidate, worst=_worst(answers, rows.labels, metric))


def _confusion(candidate: str, said: Array, labels: Array, classes: Sequence[str]) -> Mistakes:
    counted = Counter(zip(labels.reshape(-1).tolist(), said.tolist(), strict=True))
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:PAIRS_MAX]
    names = _Names(classes)
    used = sorted({number for (true, said), _ in ranked for number in (true, said)})
    return Mistakes(
        candidate=candidate,
        classes=tuple(names.of(number) for number in used),
        pairs=tuple(
            Confused(true=names.of(true), said=names.of(said), rows=count) for (true, said), count in ranked
        ),
    )


class _Names:
    """Names of classes by number; two of one name are told apart by their number."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._twice = {name for name, count in Counter(classes).items() if count > 1}
        self._classes = classes

    def of(self, number: int) -> str:
        known = self._classes[number] if 0 <= number < len(self._classes) else ""
        if not known:
            return str(number)
        return (f"{known} ({number})" if known in self._twice else known)[:200]


def _worst(answers: Iterable[Array], labels: Array, metric: Metric) -> tuple[WorstRow, ...]:
    each: list[float] = []
    notes: list[str] = []
    for some in answers if metric.by_row else (spooled(answers),):
        theirs = labels[len(each) : len(each) + len(some)]
        each += [float(metric.value(row[None].sum(axis=0), 1)) for row in metric.columns(some, theirs)]
        notes += [_note(label, answer) for label, answer in zip(theirs, some, strict=True)]
    sign = 1.0 if metric.higher_is_better else -1.0
    finite = [(sign * value, number) for number, value in enumerate(each) if np.isfinite(value)]
    return tuple(
        WorstRow(row=number, metric=each[number], note=notes[number])
        for _, number in sorted(finite)[:SAMPLES_MAX]
    )


def _note(label: Array, answer: Array) -> str:
    return f"label {_short(label)}, answer {_short(answer)}"[:512]


def _short(value: Array) -> str:
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind not in "fiub":
        return str(flat[0])[:100] if flat.size == 1 else f"{flat.size} values"
    shown = ", ".join(f"{number:.4g}" for number in flat[:_NUMBERS_MAX].tolist())
    return shown if flat.size <= _NUMBERS_MAX else f"{shown}, … ({flat.size} numbers)"
