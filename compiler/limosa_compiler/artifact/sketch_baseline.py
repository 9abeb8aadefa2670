"""The baseline of a variant: bins of equal mass, counted as devices count (telemetry 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows
from limosa_compiler.metrics import Doubles, classes_of
from limosa_compiler.running.runs import Runs
from limosa_contracts.baseline import BINS, CELLS, CONFIDENCE_BINS, Baseline, FeatureBaseline
from limosa_contracts.binning import Binner
from limosa_contracts.features import FeatureReader
from limosa_contracts.limits import LIMITS
from limosa_contracts.serving import Serving

TAIL = 0.001  # of the rows lies beyond each outer edge
_HEAVY = 32  # tails are heavy if half of the rows lie within 1/32 of the range
_GAIN = 2  # and asinh is worth it if it widens that at least twice


def make_baseline(runner: Runs, serving: Serving, rows: Rows) -> Baseline:
    """From the chosen variant's own answers on evaluation rows."""
    read = list(_read(runner, serving, rows))
    table = np.concatenate([part.table for part in read])
    features = [
        baseline_of_column(name, table[:, i]) for i, name in enumerate(f.name for f in serving.features)
    ]
    bins, missing, sums, squares = Binner(features).count(table)
    finite = np.isfinite(Binner(features).transformed(table)).sum(axis=0)
    counted = tuple(
        replace(
            feature,
            counts=tuple(int(count) for count in bins[i]),
            missing=int(missing[i]),
            mean=_mean(float(sums[i]), int(finite[i])),
            std=_std(float(sums[i]), float(squares[i]), int(finite[i])),
        )
        for i, feature in enumerate(features)
    )
    return Baseline(
        rows=rows.count,
        features=counted,
        class_counts=_class_counts(serving, read),
        confidence=_confidence(serving, read, rows.labels),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What the baseline needs of some rows and their answers."""

    table: Array  # [n, features]
    said: Array | None  # classes [n], and how sure the model is of each, where it names classes
    top: Array | None


def _read(runner: Runs, serving: Serving, rows: Rows) -> Iterator[_Part]:
    """Batch by batch: inputs and answers may be much larger than memory (compiler 8)."""
    reader, begin = FeatureReader(serving), 0
    for outputs in runner.answers(rows.inputs):
        count = len(next(iter(outputs.values())))
        inputs = {name: array[begin : begin + count] for name, array in rows.inputs.items()}
        begin += count
        answers = outputs[serving.probabilities] if serving.probabilities else None
        yield _Part(
            table=reader.rows(inputs, outputs),
            said=None if answers is None else classes_of(answers),
            top=None if answers is None else _top(answers),
        )


def _mean(total: float, rows: int) -> float:
    return total / rows if rows else 0.0


def _std(total: float, squares: float, rows: int) -> float:
    return max(0.0, squares / rows - (total / rows) ** 2) ** 0.5 if rows else 0.0


def baseline_of_column(name: str, column: Array) -> FeatureBaseline:
    """Grid and edges of one feature from its values; counts, missing and moments still zero."""
    finite = column[np.isfinite(column)].astype(np.float64)
    values = finite if finite.size else np.zeros(1)
    transform = "asinh" if _is_heavy(values) else "none"
    shown = np.arcsinh(values) if transform == "asinh" else values
    quantiles = np.quantile(shown, np.linspace(TAIL, 1 - TAIL, BINS - 1))
    low, high = _grid(float(quantiles[0]), float(quantiles[-1]))
    cells = np.rint((quantiles - low) / (high - low) * CELLS).astype(np.int64)
    edges = np.maximum.accumulate(np.clip(cells, 1, CELLS - 1))
    return FeatureBaseline(
        name=name,
        transform=transform,
        low=low,
        high=high,
        edges=tuple(int(edge) for edge in edges),
        counts=(0,) * BINS,
        missing=0,
        mean=0.0,
        std=0.0,
    )


def _grid(first: float, last: float) -> tuple[float, float]:
    """(low, high), exact in float32: one cell for each tail, 254 between the outer edges."""
    span = last - first
    least = max(abs(first), abs(last), 1.0) * 1e-3  # a constant feature still gets a grid of its own
    if span < least:
        middle = (first + last) / 2
        first, last, span = middle - least / 2, middle + least / 2, least
    cell = span / (CELLS - 2)
    return float(np.float32(first - cell)), float(np.float32(last + cell))


def _is_heavy(values: Doubles) -> bool:
    """Whether equal cells would put half of the rows into a few of them, and asinh would not."""
    plain, bent = _middle_share(values), _middle_share(np.arcsinh(values))
    return plain < 1 / _HEAVY and bent > _GAIN * plain


def _middle_share(values: Doubles) -> float:
    first, quarter, three, last = np.quantile(values, [TAIL, 0.25, 0.75, 1 - TAIL])
    return float((three - quarter) / (last - first)) if last > first else 1.0


def _class_counts(serving: Serving, read: Sequence[_Part]) -> tuple[int, ...]:
    if not serving.classes or not serving.probabilities:
        return ()
    said = np.concatenate([part.said for part in read if part.said is not None])
    return tuple(
        int(count) for count in np.bincount(said, minlength=len(serving.classes))[: LIMITS.classes_max]
    )


def _top(answers: Array) -> Array:
    """How sure the model is of each row [n]; NaN counts as not at all."""
    return np.asarray(np.nan_to_num(answers.max(axis=1).astype(np.float64)))


def _confidence(serving: Serving, read: Sequence[_Part], labels: Array | None) -> tuple[tuple[int, int], ...]:
    """(rows, correct rows) per tenth of the top probability (telemetry 2.3)."""
    if not serving.probabilities or labels is None:
        return ((0, 0),) * CONFIDENCE_BINS
    said = np.concatenate([part.said for part in read if part.said is not None])
    top = np.concatenate([part.top for part in read if part.top is not None])
    bins = np.clip((top * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
    correct = said == labels.reshape(-1)
    return tuple((int((bins == i).sum()), int((correct & (bins == i)).sum())) for i in range(CONFIDENCE_BINS))
