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
from limosa_compiler.data.spooled import spooled
from limosa_compiler.measuring.columns import answers_of, columns_in_turn, columns_of
from limosa_compiler.measuring.footprint import NOT_MEASURED, Footprint
from limosa_compiler.measuring.scores import Score as Score  # also found here
from limosa_compiler.measuring.scores import score_of, scores_by_slice
from limosa_compiler.metrics import Doubles, Metric
from limosa_compiler.running.runs import Runs, batches_of
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


def reference_of(runner: Runs, metric: Metric, output: str, tune: Rows, holdout: Rows) -> Reference:
    """Where there are no labels, fp32's own answers are compared with. Raises ModelRefused."""
    parts = [_reference_part(runner, metric, output, rows) for rows in (tune, holdout)]
    return Reference(
        tune=parts[0][0], holdout=parts[1][0], tune_labels=parts[0][1], holdout_labels=parts[1][1]
    )


def _reference_part(runner: Runs, metric: Metric, output: str, rows: Rows) -> tuple[Doubles, Array]:
    """(columns, what all answers are compared with)."""
    who = "the model"
    if rows.labels is not None:
        return columns_of(runner, metric, output, rows, rows.labels, who=who), rows.labels
    answers = spooled(answers_of(runner, output, rows, who=who))
    again = (batch[output] for batch in batches_of({output: answers}, runner.batch_rows))
    return columns_in_turn(metric, again, answers, who=who), answers


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
    on_tune: Doubles | None = None,
    on_holdout: Doubles | None = None,
) -> Measured:
    """Deterministic but for `latency` and `footprint`, which are given; columns too, where they are known.

    Raises ModelRefused for answers that are no numbers: such a candidate meets no gate.
    """
    if on_tune is None:
        on_tune = columns_of(runner, metric, output, tune, reference.tune_labels, who=candidate.name)
    if on_holdout is None:
        on_holdout = columns_of(runner, metric, output, holdout, reference.holdout_labels, who=candidate.name)
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


def first_columns(
    runner: Runs,
    reference: Reference,
    *,
    metric: Metric,
    output: str,
    tune: Rows,
    rows: int,
    known: Doubles | None,
    who: str,
) -> Doubles:
    """Of the first `rows` tune rows, or of some more: batches are those of all rows, so bits are the same.

    `known` are those of fewer rows, found here before: these do not run again. Raises ModelRefused.
    """
    if not metric.by_row:
        few = tune.first(rows)
        return columns_of(runner, metric, output, few, reference.tune_labels[: few.count], who=who)
    have = 0 if known is None else len(known)
    until = min(tune.count, -(-rows // runner.batch_rows) * runner.batch_rows)
    if known is not None and have >= until:
        return known
    more = tune.first(until).after(have)
    labels = reference.tune_labels[have:until]
    found = columns_of(runner, metric, output, more, labels, who=who)
    return found if known is None else np.concatenate([known, found])


def first_look(metric: Metric, columns: Doubles, reference: Reference) -> Score:
    """On the first tune rows only: enough to see a clear failure early."""
    return score_of(metric, columns, reference.tune[: len(columns)], intervals=True)


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
