"""A metric's columns of what a runner answers, batch by batch: answers are not kept (compiler 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from limosa_compiler.arrays import Array, release
from limosa_compiler.data import Rows
from limosa_compiler.data.spooled import spooled
from limosa_compiler.errors import ModelRefused
from limosa_compiler.metrics import Doubles, Metric
from limosa_compiler.running.runs import Runs


def columns_of(runner: Runs, metric: Metric, output: str, rows: Rows, labels: Array, *, who: str) -> Doubles:
    """[N, C] of all rows. Raises ModelRefused for answers that are no numbers."""
    return columns_in_turn(metric, answers_of(runner, output, rows, who=who), labels, who=who)


def columns_in_turn(metric: Metric, answers: Iterable[Array], labels: Array, *, who: str) -> Doubles:
    """[N, C] of answers that come some rows at a time: the same as of all at once. Raises ModelRefused."""
    if not metric.by_row:
        return _finite(metric.columns(spooled(answers), labels), who=who)
    parts: list[Doubles] = []
    begin = 0
    for some in answers:
        parts.append(metric.columns(some, labels[begin : begin + len(some)]))
        begin += len(some)
        release(labels)
    return _finite(np.concatenate(parts), who=who)


def answers_of(runner: Runs, output: str, rows: Rows, *, who: str) -> Iterator[Array]:
    """One output [n, ...], batch by batch. Raises ModelRefused for NaN."""
    begin = 0
    for said in runner.answers(rows.inputs, (output,)):
        answers = said[output]
        if answers.dtype.kind == "f" and np.isnan(answers).any():
            row = int(np.flatnonzero(np.isnan(answers).reshape(len(answers), -1).any(axis=1))[0])
            why = f"NaN in row {begin + row} of {rows.count}"
            raise ModelRefused(f"output {output!r} is not a number", where=who, why=why)
        begin += len(answers)
        yield answers


def _finite(columns: Doubles, *, who: str) -> Doubles:
    if not np.isfinite(columns).all():
        raise ModelRefused("its answers are too large to be compared", where=who)
    return columns
