"""Each candidate against fp32: metric on tune and holdout rows, size, time, memory (compiler 2.6)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.data import Rows
from limosa_compiler.errors import ModelRefused
from limosa_compiler.measuring.footprint import NOT_MEASURED, Footprint
from limosa_compiler.measuring.scores import Score as Score  # also found here
from limosa_compiler.measuring.scores import score_of, scores_by_slice
from limosa_compiler.metrics import Doubles, Metric
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import ONNXRUNTIME, Candidate
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

ROUNDS_MAX: Final = 300
ROUNDS_MIN: Final = 15
ROUNDS_WARM: Final = 3
SECONDS_MAX: Final = 2.0  # per candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Medians of one row at a time, measured in turns with fp32 on the compiling machine."""

    median_us: float
    fp32_median_us: float

    @property
    def ratio(self) -> float:
        """Below 1 is faster than fp32."""
        return self.median_us / self.fp32_median_us

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "median_us": self.median_us,
            "fp32_median_us": self.fp32_median_us,
            "ratio": self.ratio,
        }

    @classmethod
    def parse(cls, fields: Fields) -> Latency:
        return cls(
            median_us=fields.number("median_us", low=1e-3),
            fp32_median_us=fields.number("fp32_median_us", low=1e-3),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A candidate with everything the choice rests on. Slices are named "column=value"."""

    name: str
    precision: str
    size: int  # bytes of the model
    digest: str
    structure: str
    tune: Score
    holdout: Score
    latency: Latency
    memory_bytes: int | None = None  # peak, above what the runtime alone takes
    load_ms: float | None = None  # median
    tune_slices: Mapping[str, Score] = field(default_factory=dict)
    holdout_slices: Mapping[str, Score] = field(default_factory=dict)
    runtime: str = ONNXRUNTIME

    @property
    def recorded(self) -> Recorded:
        return Recorded(
            latency=self.latency,
            footprint=Footprint(memory_bytes=self.memory_bytes, load_ms=self.load_ms),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A candidate that was not measured to the end, since it could not be chosen (compiler 8)."""

    name: str
    precision: str
    size: int
    digest: str
    structure: str
    reason: str
    tune: Score | None = None  # on the first of the tune rows
    runtime: str = ONNXRUNTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What differs from run to run: taken from evidence when a build is repeated (compiler 6.2)."""

    latency: Latency
    footprint: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What fp32 answers, as the columns of the metric; and what all answers are compared with."""

    tune: Doubles
    holdout: Doubles
    tune_labels: Array
    holdout_labels: Array

    def head(self, rows: int) -> Reference:
        """On the first tune rows only."""
        return Reference(
            tune=self.tune[:rows],
            holdout=self.holdout,
            tune_labels=self.tune_labels[:rows],
            holdout_labels=self.holdout_labels,
        )


def reference_of(runner: Runs, metric: Metric, output: str, tune: Rows, holdout: Rows) -> Reference:
    """Where there are no labels, fp32's own answers are compared with. Raises ModelRefused."""
    answers = [_answers(runner, output, rows, who="the model") for rows in (tune, holdout)]
    labels = [
        rows.labels if rows.labels is not None else given
        for rows, given in zip((tune, holdout), answers, strict=True)
    ]
    columns = [
        _finite(metric.columns(given, true), who="the model")
        for given, true in zip(answers, labels, strict=True)
    ]
    return Reference(tune=columns[0], holdout=columns[1], tune_labels=labels[0], holdout_labels=labels[1])


def measure(
    candidate: Candidate,
    runner: Runs,
    reference: Reference,
    *,
    metric: Metric,
    output: str,
    tune: Rows,
    holdout: Rows,
    latency: Latency,
    footprint: Footprint = NOT_MEASURED,
) -> Measured:
    """Deterministic but for `latency` and `footprint`, which are given.

    Raises ModelRefused for answers that are no numbers: such a candidate meets no gate.
    """
    on_tune, on_holdout = (
        _columns(runner, metric, output, rows, labels, who=candidate.name)
        for rows, labels in ((tune, reference.tune_labels), (holdout, reference.holdout_labels))
    )
    return Measured(
        name=candidate.name,
        precision=candidate.precision,
        size=candidate.size,
        digest=candidate.digest,
        structure=candidate.structure,
        tune=score_of(metric, on_tune, reference.tune, intervals=True),
        holdout=score_of(metric, on_holdout, reference.holdout, intervals=False),
        latency=latency,
        memory_bytes=footprint.memory_bytes,
        load_ms=footprint.load_ms,
        tune_slices=scores_by_slice(metric, on_tune, reference.tune, tune.slices, intervals=True),
        holdout_slices=scores_by_slice(
            metric, on_holdout, reference.holdout, holdout.slices, intervals=False
        ),
        runtime=candidate.runtime,
    )


def first_look(
    candidate: Candidate,
    runner: Runs,
    reference: Reference,
    *,
    metric: Metric,
    output: str,
    tune: Rows,
    rows: int,
) -> Score:
    """On the first `rows` tune rows only: enough to see a clear failure early. Raises ModelRefused."""
    few, part = tune.take(np.arange(min(rows, tune.count))), reference.head(rows)
    columns = _columns(runner, metric, output, few, part.tune_labels, who=candidate.name)
    return score_of(metric, columns, part.tune, intervals=True)


def pruned(candidate: Candidate, reason: str, *, tune: Score | None = None) -> Pruned:
    return Pruned(
        name=candidate.name,
        precision=candidate.precision,
        size=candidate.size,
        digest=candidate.digest,
        structure=candidate.structure,
        reason=reason,
        tune=tune,
        runtime=candidate.runtime,
    )


def time_in_turns(runner: Runs, fp32: Runs, row: Mapping[str, Array]) -> Latency:
    """One run of each in turn, so that whatever slows the machine slows both."""
    ours: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + SECONDS_MAX
    for turn in range(ROUNDS_WARM + ROUNDS_MAX):
        pair = (runner.time_once(row), fp32.time_once(row))
        if turn >= ROUNDS_WARM:
            ours.append(pair[0])
            theirs.append(pair[1])
        if len(ours) >= ROUNDS_MIN and time.perf_counter() > end:
            break
    return Latency(
        median_us=max(statistics.median(ours) * 1e6, 1e-3),
        fp32_median_us=max(statistics.median(theirs) * 1e6, 1e-3),
    )


def _columns(runner: Runs, metric: Metric, output: str, rows: Rows, labels: Array, *, who: str) -> Doubles:
    return _finite(metric.columns(_answers(runner, output, rows, who=who), labels), who=who)


def _answers(runner: Runs, output: str, rows: Rows, *, who: str) -> Array:
    answers = runner.predict(rows.inputs)[output]
    if answers.dtype.kind == "f" and np.isnan(answers).any():
        row = int(np.flatnonzero(np.isnan(answers).reshape(len(answers), -1).any(axis=1))[0])
        raise ModelRefused(
            f"output {output!r} is not a number", where=who, why=f"NaN in row {row} of {len(answers)}"
        )
    return answers


def _finite(columns: Doubles, *, who: str) -> Doubles:
    if not np.isfinite(columns).all():
        raise ModelRefused("its answers are too large to be compared", where=who)
    return columns
