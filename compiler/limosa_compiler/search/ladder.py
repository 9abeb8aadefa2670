"""The ladder of candidates: each rung of the strategy is made and loaded, or left out for a reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from limosa_compiler.arrays import Array, is_text
from limosa_compiler.calibration.activation_sizes import bytes_of_rows
from limosa_compiler.calibration.cache import CalibrationCache, key_of
from limosa_compiler.calibration.calibrate import activations, calibrate
from limosa_compiler.calibration.range_table import RangeTable
from limosa_compiler.errors import ModelRefused, PassFailed, RungNotMade
from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.ingest.prepare import PREPARE
from limosa_compiler.limits import LIMITS
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.passes import OnPass, PassReport, run_passes
from limosa_compiler.rungs import fp32
from limosa_compiler.rungs.rung import Material, Rung
from limosa_compiler.running.runners import Runners
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import FP32, Candidate
from limosa_compiler.search.left_out import DOES_NOT_LOAD, NOT_APPLICABLE, NOT_MADE, SAME_BYTES, LeftOut
from limosa_compiler.search.strategies import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Candidates that load, cheapest to make first; fp32 is the first and the reference."""

    candidates: tuple[Candidate, ...]
    runners: Runners
    reports: tuple[PassReport, ...]
    warnings: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    ranges: RangeTable | None = None
    material: Material | None = None  # what the sensitivity search starts from
    sensitivity: tuple[NodeSensitivity, ...] = ()

    @property
    def fp32(self) -> Runs:
        return self.runners[FP32]

    def candidate(self, name: str) -> Candidate:
        return next(item for item in self.candidates if item.name == name)

    @property
    def digests(self) -> dict[str, str]:
        """What the ladder adds to a build's inputs -> sha256."""
        return {} if self.ranges is None else {"ranges": f"sha256:{self.ranges.digest}"}


def make_ladder(
    loaded: Loaded,
    strategy: Strategy,
    *,
    on_pass: OnPass,
    cache: CalibrationCache | None = None,
) -> Ladder:
    """A rung that cannot be made, or does not load, is left out for a reason; fp32 must load."""
    runners = Runners()
    first = fp32.make(loaded.model)
    runners.add(FP32, lambda: loaded.runner(first.model, FP32))
    reference = runners[FP32]
    material, reports = _material(loaded, cache=cache, on_pass=on_pass)
    sample = {name: array[: LIMITS.compare_rows] for name, array in loaded.tune.inputs.items()}
    expected = reference.predict(sample)
    made: list[Candidate] = [first]
    left_out: list[LeftOut] = []
    for rung in strategy.rungs:
        begin = time.perf_counter()
        found = _attempt(rung, material, made)
        if isinstance(found, LeftOut):
            left_out.append(found)
            continue
        runners.add(found.name, lambda one=found: loaded.runner(one.model, one.name))  # type: ignore[misc]  # bound now, not when called
        try:
            error = distance(runners[found.name].predict(sample), expected)
        except ModelRefused as failed:
            runners.drop(found.name)
            left_out.append(LeftOut(name=rung.name, reason=DOES_NOT_LOAD, detail=str(failed)[:300]))
            continue
        made.append(found)
        nodes = len(material.prepared.graph.node)
        report = step(f"make {found.name}", nodes=nodes, begin=begin)
        reports = (*reports, replace(report, max_abs_error=error))
        on_pass(reports[-1])
    return Ladder(
        candidates=tuple(made),
        runners=runners,
        reports=reports,
        left_out=tuple(left_out),
        ranges=material.ranges,
        material=material,
    )


def step(name: str, *, nodes: int, begin: float, note: str = "") -> PassReport:
    return PassReport(
        name=name, nodes_before=nodes, nodes_after=nodes, seconds=time.perf_counter() - begin, note=note
    )


def distance(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float | None:
    """Largest |difference| of any output; None where one is not finite."""
    gaps = [
        float(np.abs(ours[name].astype(np.float64) - theirs[name].astype(np.float64)).max(initial=0.0))
        for name in theirs
        if not is_text(theirs[name])
    ]
    return max(gaps, default=0.0) if np.isfinite(gaps).all() else None


def _material(
    loaded: Loaded, *, cache: CalibrationCache | None, on_pass: OnPass
) -> tuple[Material, tuple[PassReport, ...]]:
    prepared, reports = run_passes(loaded.model, PREPARE, loaded.context, on_pass=on_pass)
    begin = time.perf_counter()

    def compute() -> RangeTable:
        return calibrate(prepared, loaded.calibration.batches)

    bytes_per_row = sum(bytes_of_rows(prepared, loaded.row, activations(prepared)).values())
    kept = bytes_per_row * loaded.calibration.count >= LIMITS.calibration_kept_bytes
    if cache is not None and kept:
        table, known = cache.table(key_of(prepared, loaded.calibration.digest), compute)
    else:
        table, known = compute(), False
    note = "from the cache" if known else f"{loaded.calibration.count} rows"
    report = step("calibrate", nodes=len(prepared.graph.node), begin=begin, note=note)
    on_pass(report)
    material = Material(
        model=loaded.model,
        prepared=prepared,
        ranges=table,
        where=loaded.context.where,
        row_bytes=bytes_per_row,
    )
    return material, (*reports, report)


def _attempt(rung: Rung, material: Material, made: list[Candidate]) -> Candidate | LeftOut:
    try:
        found = rung.make(material)
    except RungNotMade as error:
        return LeftOut(name=rung.name, reason=NOT_APPLICABLE, detail=str(error)[:300])
    except PassFailed as error:
        return LeftOut(name=rung.name, reason=NOT_MADE, detail=str(error)[:300])
    for other in made:
        if other.digest == found.digest:
            return LeftOut(name=rung.name, reason=SAME_BYTES, detail=other.name)
    return found
