"""One release, loaded and warm: its checks, its runtime, its observations."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import median
from typing import Final

from limosa_agent.serving.errors import InferenceFailed, LoadFailed
from limosa_agent.serving.files import read_bounded
from limosa_agent.serving.golden import GoldenVectors, difference
from limosa_agent.serving.graph_cache import graph_folder
from limosa_agent.serving.limits import ServingLimits
from limosa_agent.serving.observations import Observations
from limosa_agent.serving.prediction_memory import FILE as PREDICTIONS
from limosa_agent.serving.runtime import Runtime, load_runtime
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_agent.serving.schema_check import SchemaCheck
from limosa_agent.serving.shared_counters import SharedCounters
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.baseline import Baseline
from limosa_contracts.errors import LimosaError
from limosa_contracts.features import FeatureReader
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.serving import BASELINE_FILE, FILE, GOLDEN_FILE, Serving

WARM_UP_RUNS: Final = 8  # the first is slow; the median of the others decides where runs go


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Golden vectors run once more: for a device without traffic (agent 4.2)."""

    n: int
    failed: int
    p95_us: float
    max_abs_error: float


class LoadedModel:
    def __init__(self, slot: SlotRef, limits: ServingLimits, options: RuntimeOptions | None = None) -> None:
        """Reads the slot and warms the model up with its golden inputs, never with made-up ones.

        Raises LoadFailed. A model that kills its process here takes the process with it.
        """
        self.slot: Final = slot
        folder = Path(slot.directory)
        try:
            self.serving: Final = Serving.parse(read_bounded(folder / FILE, LIMITS.document_max_bytes))
            baseline = Baseline.parse(read_bounded(folder / BASELINE_FILE, LIMITS.document_max_bytes))
            golden = read_bounded(folder / GOLDEN_FILE, LIMITS.blob_max_bytes)
            self.golden: Final = GoldenVectors.parse(golden, self.serving)
            _check_slot(slot, self.serving, baseline)
            self._runtime: Final[Runtime] = load_runtime(folder, self.serving, _settled(options, limits))
            self.wants_graph: Final = self._runtime.wants_graph
            self.run: Final = self._runtime.run
            """All outputs by name; nothing is checked or counted. Raises InferenceFailed."""
            self.check: Final = SchemaCheck(self.serving, rows_max=limits.rows_max)
            self.observations: Final = Observations(
                self.serving,
                baseline,
                manifest_sha256=slot.manifest_sha256,
                ring_rows=limits.ring_rows,
                ring_max_bytes=limits.ring_max_bytes,
                feedback_predictions=limits.feedback_predictions,
            )
            self.run_us: Final = self._warm_up()
        except LoadFailed:
            raise
        except LimosaError as error:
            raise LoadFailed(
                f"{slot.model}@{slot.version} cannot be served", where=slot.directory, why=str(error)
            ) from error

    def replay(self) -> Replay:
        """Runs every golden case; thread-safe, and not counted as an inference."""
        spent: list[float] = []
        failed, worst = 0, 0.0
        for case in self.golden:
            began = time.perf_counter_ns()
            try:
                error, holds = difference(self.run(case.inputs), case, self.serving.golden)
            except InferenceFailed:
                error, holds = 0.0, False
            spent.append((time.perf_counter_ns() - began) / 1000)
            failed += not holds
            worst = max(worst, error)
        return Replay(n=len(spent), failed=failed, p95_us=percentile(spent, 0.95), max_abs_error=worst)

    def _warm_up(self) -> float:
        """Median microseconds of a run of one golden case, the first runs left out.

        Raises InvalidField if a monitored feature cannot be read from the model's tensors.
        """
        cases = self.golden.cases
        spent: list[float] = []
        for i in range(WARM_UP_RUNS):
            began = time.perf_counter_ns()
            try:
                outputs = self.run(cases[i % len(cases)].inputs)
            except InferenceFailed as error:
                raise LoadFailed(
                    "the model fails on its own golden inputs", where=GOLDEN_FILE, why=error.why
                ) from error
            spent.append((time.perf_counter_ns() - began) / 1000)
        FeatureReader(self.serving).rows(cases[(WARM_UP_RUNS - 1) % len(cases)].inputs, outputs)
        return median(spent[2:])


def load_all(
    slots: JsonValue, *, counters: SharedCounters, limits: ServingLimits, options: RuntimeOptions
) -> list[LoadedModel]:
    """Each slot in turn; `counters.running` says in which one a process that ends here was (1 for the first).

    Raises LoadFailed, InvalidField.
    """
    models = []
    for i, slot in enumerate(slots if isinstance(slots, list) else ()):
        counters.running = i + 1
        models.append(LoadedModel(SlotRef.parse(slot, where=f"models[{i}]"), limits, options))
    counters.running = 0
    return models


def remember_beside(model: LoadedModel) -> None:
    """Its predictions are remembered in a file beside its slot, which goes with it, and survive a restart."""
    folder = graph_folder(Path(model.slot.directory))
    if folder is not None:
        model.observations.feedback.keep_in(folder / PREDICTIONS)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank); 0 of nothing.

    >>> percentile([3.0, 1.0, 2.0, 4.0], 0.5)
    2.0
    """
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(len(values) * share) - 1)]


def _settled(options: RuntimeOptions | None, limits: ServingLimits) -> RuntimeOptions:
    found = options or RuntimeOptions()
    if found.intra_op_threads:
        return found
    return replace(found, intra_op_threads=limits.intra_op_threads)


def _check_slot(slot: SlotRef, serving: Serving, baseline: Baseline) -> None:
    if (serving.model, serving.version) != (slot.model, slot.version):
        raise LoadFailed(
            f"the slot holds {serving.model}@{serving.version}",
            where=slot.directory,
            why=f"{slot.model}@{slot.version} is expected",
        )
    if [feature.name for feature in serving.features] != [feature.name for feature in baseline.features]:
        raise LoadFailed("features of serving.json and baseline.json differ", where=slot.directory)
