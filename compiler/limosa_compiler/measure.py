"""Each candidate against fp32: metric on tune and holdout rows, size, latency (compiler 2.6)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.candidate import Candidate
from limosa_compiler.data import Rows
from limosa_compiler.metrics import Doubles, Metric, lower_bound
from limosa_compiler.runs import Runs
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

ROUNDS_MAX: Final = 300
ROUNDS_MIN: Final = 15
ROUNDS_WARM: Final = 3
SECONDS_MAX: Final = 2.0  # per candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """On one part of the evaluation rows. Points are against fp32; positive is better."""

    rows: int
    metric: float
    points: float
    lower_bound_points: float | None = None

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "rows": self.rows,
            "metric": self.metric,
            "points": self.points,
            "lower_bound_points": self.lower_bound_points,
        }

    @classmethod
    def parse(cls, fields: Fields) -> Score:
        return cls(
            rows=fields.integer("rows", low=0),
            metric=fields.number("metric"),
            points=fields.number("points"),
            lower_bound_points=fields.maybe("lower_bound_points", fields.number),
        )


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
    """A candidate with everything the choice rests on."""

    name: str
    precision: str
    size: int  # bytes of the model
    digest: str
    structure: str
    tune: Score
    holdout: Score
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What fp32 answers, as the columns of the metric."""

    tune: Doubles
    holdout: Doubles


def reference_of(runner: Runs, metric: Metric, output: str, tune: Rows, holdout: Rows) -> Reference:
    return Reference(
        tune=_columns(runner, metric, output, tune), holdout=_columns(runner, metric, output, holdout)
    )


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
) -> Measured:
    """Deterministic but for `latency`, which is given."""
    on_tune = _columns(runner, metric, output, tune)
    on_holdout = _columns(runner, metric, output, holdout)
    return Measured(
        name=candidate.name,
        precision=candidate.precision,
        size=candidate.size,
        digest=candidate.digest,
        structure=candidate.structure,
        tune=_score(metric, on_tune, reference.tune, bound=True),
        holdout=_score(metric, on_holdout, reference.holdout, bound=False),
        latency=latency,
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


def _columns(runner: Runs, metric: Metric, output: str, rows: Rows) -> Doubles:
    labels = rows.labels if rows.labels is not None else np.empty(0)
    return metric.columns(runner.predict(rows.inputs)[output], labels)


def _score(metric: Metric, ours: Doubles, reference: Doubles, *, bound: bool) -> Score:
    value, theirs = metric.of(ours), metric.of(reference)
    return Score(
        rows=len(ours),
        metric=value,
        points=float(metric.points(np.asarray(value), np.asarray(theirs))),
        lower_bound_points=lower_bound(metric, ours, reference) if bound else None,
    )
