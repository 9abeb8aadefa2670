"""Candidates measured, the search where none of the plain ones will do, and what is not worth measuring.

Compiler 2.5, 2.6 and 8. Tune rows decide which candidate is better. Where size is preferred a smaller
one spares larger ones, and with any preference the search, only once holdout rows have confirmed it:
the choice asks the same rows later, and counts its looks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from limosa_compiler.choice.choose import cannot_win, fails_clearly, may_be_shipped
from limosa_compiler.errors import ModelRefused
from limosa_compiler.evidence.parts import NodeSensitivity
from limosa_compiler.limits import LIMITS
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.measuring.footprint import NOT_MEASURED, FootprintMeter
from limosa_compiler.measuring.measure import (
    Measured,
    Pruned,
    Recorded,
    Reference,
    first_columns,
    first_look,
    measure,
    pruned,
    reference_of,
    time_in_turns,
)
from limosa_compiler.measuring.scores import Score
from limosa_compiler.metrics import Doubles, Metric
from limosa_compiler.passes import OnPass, PassReport
from limosa_compiler.recipe.gate import Gate, Prefer
from limosa_compiler.rungs import static_int8
from limosa_compiler.rungs.static_int8 import CORE_OPERATORS
from limosa_compiler.running.runs import Runs
from limosa_compiler.search.candidate import FP32, ONNXRUNTIME, Candidate
from limosa_compiler.search.ladder import Ladder, step
from limosa_compiler.search.searching import ranked_for_report, searched
from limosa_compiler.search.strategies import unfit
from limosa_contracts.profiles import Profile

SEARCH_GAIN: Final = 1.2  # the search must be able to save a sixth of what could be shipped without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What candidates are judged by."""

    metric: Metric
    gate: Gate
    prefer: Prefer
    profiles: tuple[Profile, ...]
    recorded: Mapping[str, Recorded] = field(default_factory=dict)  # by digest, of the build that is repeated


@dataclass(slots=True, kw_only=True)
class Measuring:
    """Grows while candidates are looked at: one after the other, each judged by those before it."""

    found: Ladder
    loaded: Loaded
    wanted: Wanted
    reference: Reference
    meter: FootprintMeter
    on_pass: OnPass
    measured: dict[str, Measured] = field(default_factory=dict)
    pruned: dict[str, Pruned] = field(default_factory=dict)
    reports: list[PassReport] = field(default_factory=list)
    timed: dict[tuple[str, str], Recorded] = field(default_factory=dict)  # by runtime and structure
    columns: dict[str, Doubles] = field(default_factory=dict)  # of the first tune rows, by digest

    def look_at_all(self, candidates: Sequence[Candidate]) -> None:
        """fp32 first; then the smallest first, where size is preferred: larger ones may be spared then."""
        ranked = sorted(
            candidates,
            key=lambda item: (item.name != FP32, item.size if self.wanted.prefer is Prefer.SIZE else 0),
        )
        for item in ranked:
            self.look_at(item)

    def look_at(self, item: Candidate) -> None:
        begin = time.perf_counter()
        runner = self.found.runners[item.name]
        try:
            ended = "" if item.name == FP32 else self._pruned(item, runner)
            if ended:
                note = f"not measured further: {ended}"
            else:
                note = self._measure(item, runner)
        except ModelRefused as error:
            self.pruned[item.name] = pruned(item, str(error)[:300])
            note = f"not measured further: {error}"[:300]
        self.reports.append(step(f"measure {item.name}", nodes=0, begin=begin, note=note))
        self.on_pass(self.reports[-1])

    def holds(self, item: Candidate) -> bool:
        """Whether it meets the gate's bounds of the metric, on all tune rows."""
        try:
            runner = self.loaded.runner(item.model, item.name)
            score = self._look(item, runner, rows=self.loaded.tune.count)
        except ModelRefused:
            return False
        return not self._miss(score)

    def _miss(self, score: Score) -> str:
        """Why the gate's bounds of the metric are missed on all tune rows, or ""."""
        gate, metric = self.wanted.gate, self.wanted.metric
        bound = score.points if score.lower_bound_points is None else score.lower_bound_points
        if gate.min_metric is not None and metric.points_below(score.metric, gate.min_metric) > 0:
            return f"{metric.name} is {score.metric:.4f} on tune rows, the gate is {gate.min_metric:g}"
        if -bound > gate.max_loss_points:
            return (
                f"may lose {-bound:.2f} points on tune rows (95 % bound of {score.rows} rows), "
                f"{gate.max_loss_points:g} are allowed"
            )
        return ""

    def lacks(self, kind: str) -> tuple[Profile, ...]:
        """Targets that could be given a candidate of a kind of rung, and none that is nearly as small.

        The smallest of that kind is what a search may come close to: it is asked whether what may be
        shipped now is clearly larger.
        """
        return tuple(profile for profile in self.wanted.profiles if self._lacks(kind, profile))

    def _lacks(self, kind: str, profile: Profile) -> bool:
        taken = [item for item in self.found.candidates if takes(profile, item)]
        least = min((item.size for item in taken if item.recipe.get("rung") == kind), default=0)
        passing = [item.size for item in self.measured.values() if self._may_go(item, profile)]
        return least > 0 and min(passing, default=2 * least) > least * SEARCH_GAIN

    def _pruned(self, item: Candidate, runner: Runs) -> str:
        passing = [other for other in self.measured.values() if self._covers(other, item)]
        if why := cannot_win(item, passing, self.wanted.prefer):
            self.pruned[item.name] = pruned(item, why)
            return why
        rows = max(LIMITS.prune_rows_min, self.loaded.tune.count // 5)
        if rows >= self.loaded.tune.count:
            return ""
        score = self._look(item, runner, rows=rows)
        if why := fails_clearly(score, self.wanted.gate, self.wanted.metric):
            self.pruned[item.name] = pruned(item, why, tune=score)
            return why
        return self._pruned_as_costly(item, runner)

    def _pruned_as_costly(self, item: Candidate, runner: Runs) -> str:
        """Time, memory and holdout rows of a large model are not spent on what misses the gate anyway."""
        material = self.found.material
        cost = self.loaded.tune.count * (material.row_bytes if material else 0)
        if cost < LIMITS.measure_all_bytes:
            return ""
        score = self._look(item, runner, rows=self.loaded.tune.count)
        if not (why := self._miss(score)):
            return ""
        self.pruned[item.name] = pruned(item, why, tune=score)
        return why

    def _look(self, item: Candidate, runner: Runs, *, rows: int) -> Score:
        """On that many tune rows at least; what ran for an earlier look does not run again."""
        known = self.columns.get(item.digest)
        if known is None or len(known) < rows:
            known = first_columns(
                runner,
                self.reference,
                metric=self.wanted.metric,
                output=self.loaded.output,
                tune=self.loaded.tune,
                rows=rows,
                known=known,
                who=item.name,
            )
            self.columns[item.digest] = known
        return first_look(self.wanted.metric, known, self.reference)

    def _measure(self, item: Candidate, runner: Runs) -> str:
        known = self._recorded(item, runner)
        self._look(item, runner, rows=self.loaded.tune.count)
        one = measure(
            item,
            runner,
            self.reference,
            metric=self.wanted.metric,
            output=self.loaded.output,
            tune=self.loaded.tune,
            holdout=self.loaded.holdout,
            latency=known.latency,
            footprint=known.footprint,
            on_tune=self.columns[item.digest],
            on_holdout=self.reference.holdout if item.name == FP32 else None,
        )
        self.measured[item.name] = one
        return (
            f"{self.wanted.metric.name} {one.tune.metric:.4f}, {one.size} bytes, "
            f"{known.latency.ratio:.2f} × fp32's time"
        )

    def _recorded(self, item: Candidate, runner: Runs) -> Recorded:
        """Time and memory: as recorded, or as of one that differs in constants only, or measured."""
        key = (item.runtime, item.structure)
        known = self.wanted.recorded.get(item.digest) or self.timed.get(key)
        if known is None:
            row = self.loaded.row
            known = Recorded(
                latency=time_in_turns(runner, self.found.fp32, row),
                footprint=self.meter.of(item.model, row) if item.runtime == ONNXRUNTIME else NOT_MEASURED,
            )
        self.timed[key] = known
        return known

    def _covers(self, other: Measured, item: Candidate) -> bool:
        """Whether `other` may be shipped to every target that would take `item`."""
        takers = [profile for profile in self.wanted.profiles if takes(profile, item)]
        return all(self._may_go(other, profile) for profile in takers)

    def _may_go(self, item: Measured, profile: Profile) -> bool:
        return takes(profile, self.found.candidate(item.name)) and may_be_shipped(
            item,
            profile=profile,
            gate=self.wanted.gate,
            metric=self.wanted.metric,
            fp32_size=self.found.candidate(FP32).size,
        )


def takes(profile: Profile, item: Candidate) -> bool:
    """Whether a target could be given a candidate at all, however good it is."""
    runs = any(runtime.name == item.runtime for runtime in profile.runtimes)
    return runs and item.precision in profile.precisions and not unfit(item.recipe, profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that the choice rests on. `found` has the candidates of the search too."""

    found: Ladder
    measured: tuple[Measured, ...]  # in the ladder's order
    pruned: tuple[Pruned, ...]
    reports: tuple[PassReport, ...]


def measure_all(
    found: Ladder,
    loaded: Loaded,
    wanted: Wanted,
    *,
    float_nodes_max: int,
    on_pass: OnPass,
) -> Outcome:
    """Measures, searches where all that may be shipped is clearly larger than int8, measures what was found.

    Without a search nodes are ranked all the same, for the report. `float_nodes_max` 0: no search.
    """
    reference = reference_of(found.fp32, wanted.metric, loaded.output, loaded.tune, loaded.holdout)
    with FootprintMeter() as meter:
        state = Measuring(
            found=found, loaded=loaded, wanted=wanted, reference=reference, meter=meter, on_pass=on_pass
        )
        state.columns[found.candidate(FP32).digest] = reference.tune
        state.look_at_all(found.candidates)
        lacking = state.lacks(static_int8.KIND) if float_nodes_max else ()
        if lacking and found.material is not None:
            state.found = searched(
                found, loaded, lacking, float_nodes_max=float_nodes_max, holds=state.holds, on_pass=on_pass
            )
            state.look_at_all(state.found.candidates[len(found.candidates) :])
        elif found.material is not None:
            state.found = ranked_for_report(found, loaded, on_pass=on_pass)
    order = [item.name for item in state.found.candidates]
    return Outcome(
        found=state.found,
        measured=tuple(state.measured[name] for name in order if name in state.measured),
        pruned=tuple(state.pruned[name] for name in order if name in state.pruned),
        reports=tuple(state.reports),
    )


def with_choices(found: Ladder, chosen: Sequence[Candidate]) -> Ladder:
    """The same, with each node's sensitivity saying whether a chosen candidate leaves it in float."""
    floats = {name for item in chosen for name in item.float_nodes}
    core_only = any(item.recipe.get("core_only") is True for item in chosen)
    marked = tuple(
        replace(item, float_in_choice=item.name in floats or _is_outside(item, core_only))
        for item in found.sensitivity
    )
    return replace(found, sensitivity=marked)


def _is_outside(item: NodeSensitivity, core_only: bool) -> bool:
    return core_only and item.op_type not in CORE_OPERATORS
