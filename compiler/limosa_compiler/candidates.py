"""The ladder of candidates, made and measured (compiler 2.3 to 2.6)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limosa_compiler.arrays import Array
from limosa_compiler.calibrate import RangeTable, calibrate
from limosa_compiler.candidate import FP32, INT8, ONNXRUNTIME, Candidate, candidate
from limosa_compiler.errors import ModelRefused, PassFailed
from limosa_compiler.footprint import NOT_MEASURED, FootprintMeter
from limosa_compiler.limits import LIMITS
from limosa_compiler.loading import Loaded
from limosa_compiler.measure import Measured, Recorded, measure, reference_of, time_in_turns
from limosa_compiler.metrics import Metric
from limosa_compiler.passes import OnPass, PassReport, run_passes
from limosa_compiler.prepare import PREPARE
from limosa_compiler.quantize import PERCENTILE_SHARE, ladder, static_int8
from limosa_compiler.runner import Runner
from limosa_compiler.runs import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Candidates that load, cheapest to make first; fp32 is the first and the reference."""

    candidates: tuple[Candidate, ...]
    runners: Mapping[str, Runs]
    ranges: RangeTable
    reports: tuple[PassReport, ...]
    warnings: tuple[str, ...]

    @property
    def fp32(self) -> Runs:
        return self.runners[FP32]

    def candidate(self, name: str) -> Candidate:
        return next(item for item in self.candidates if item.name == name)


def make_ladder(loaded: Loaded, *, on_pass: OnPass) -> Ladder:
    """A rung that cannot be made, or does not load, is left out with a warning; fp32 must."""
    prepared, reports = run_passes(loaded.model, PREPARE, loaded.context, on_pass=on_pass)
    fp32 = candidate(FP32, FP32, loaded.model)
    runners: dict[str, Runs] = {FP32: Runner(fp32.model, what=FP32)}
    rows = runners[FP32].batch_rows
    begin = time.perf_counter()
    table = calibrate(prepared, lambda: loaded.calibration.batches(rows), share=PERCENTILE_SHARE)
    made: list[Candidate] = [fp32]
    warnings: list[str] = []
    steps = [*reports, _step("calibrate", prepared_nodes=len(prepared.graph.node), begin=begin)]
    on_pass(steps[-1])
    sample = {name: array[: LIMITS.batch_rows] for name, array in loaded.tune.inputs.items()}
    for name, ranges in ladder(table):
        begin = time.perf_counter()
        try:
            rung = candidate(name, INT8, static_int8(prepared, ranges, where=loaded.context.where))
            if any(rung.digest == other.digest for other in made):
                warnings.append(f"{name}: the same bytes as another candidate; left out")
                continue
            runner = Runner(rung.model, what=name)
            error = _distance(runner, runners[FP32], sample)
        except (PassFailed, ModelRefused) as failed:
            warnings.append(f"{name}: left out: {failed}")
            continue
        made.append(rung)
        runners[name] = runner
        step = _step(f"quantize {name}", prepared_nodes=len(prepared.graph.node), begin=begin)
        steps.append(replace(step, max_abs_error=error))
        on_pass(steps[-1])
    return Ladder(
        candidates=tuple(made), runners=runners, ranges=table, reports=tuple(steps), warnings=tuple(warnings)
    )


def measure_all(
    found: Ladder,
    loaded: Loaded,
    metric: Metric,
    *,
    recorded: Mapping[str, Recorded],
    on_pass: OnPass,
) -> tuple[tuple[Measured, ...], tuple[PassReport, ...]]:
    """Every candidate; where time and memory were `recorded` for its digest, they are not measured again."""
    reference = reference_of(found.fp32, metric, loaded.output, loaded.tune, loaded.holdout)
    row = {name: array[:1] for name, array in loaded.tune.inputs.items()}
    result: list[Measured] = []
    reports: list[PassReport] = []
    with FootprintMeter() as meter:
        for item in found.candidates:
            begin = time.perf_counter()
            runner = found.runners[item.name]
            known = recorded.get(item.digest) or Recorded(
                latency=time_in_turns(runner, found.fp32, row),
                footprint=meter.of(item.model, row) if item.runtime == ONNXRUNTIME else NOT_MEASURED,
            )
            one = measure(
                item,
                runner,
                reference,
                metric=metric,
                output=loaded.output,
                tune=loaded.tune,
                holdout=loaded.holdout,
                latency=known.latency,
                footprint=known.footprint,
            )
            result.append(one)
            note = (
                f"{metric.name} {one.tune.metric:.4f}, {one.size} bytes, "
                f"{known.latency.ratio:.2f} × fp32's time"
            )
            reports.append(replace(_step(f"measure {item.name}", prepared_nodes=0, begin=begin), note=note))
            on_pass(reports[-1])
    return tuple(result), tuple(reports)


def _step(name: str, *, prepared_nodes: int, begin: float) -> PassReport:
    return PassReport(
        name=name,
        nodes_before=prepared_nodes,
        nodes_after=prepared_nodes,
        seconds=time.perf_counter() - begin,
    )


def _distance(runner: Runs, reference: Runs, sample: Mapping[str, Array]) -> float | None:
    """Largest |difference| of any output on sample rows; None where fp32 is not finite there."""
    ours, theirs = runner.predict(sample), reference.predict(sample)
    gaps: Sequence[float] = [
        float(np.abs(ours[name].astype(np.float64) - theirs[name].astype(np.float64)).max(initial=0.0))
        for name in theirs
    ]
    return max(gaps) if np.isfinite(gaps).all() else None
