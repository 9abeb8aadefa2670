"""What is measured of inferences, gathered in a ring and counted in one vectorised pass (telemetry 1.2).

Per inference only copies are made: rows of the monitored tensors go into preallocated arrays. Reading
features out of them, binning, classes and NaN are done over all rows at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from limosa_agent.serving.tensor_codec import NUMPY, Array
from limosa_contracts.baseline import BINS, CONFIDENCE_BINS, Baseline
from limosa_contracts.binning import Binner
from limosa_contracts.errors import InvalidField
from limosa_contracts.features import FeatureReader
from limosa_contracts.serving import Serving, TensorSpec
from limosa_contracts.window import LATENCY_EDGES_US

_LATENCIES_AT_ONCE: Final = 512
_EDGES_NS: Final = np.array(LATENCY_EDGES_US, np.int64) * 1000


class Counts:
    """What passes add up; cumulative."""

    def __init__(self, features: int, classes: int) -> None:
        self.answered = 0  # requests
        self.rows = 0
        self.nan_rows = 0
        self.unmeasured = 0  # rows whose outputs had another layout than declared
        self.bins = np.zeros((features, BINS), np.int64)
        self.missing = np.zeros(features, np.int64)
        self.sums = np.zeros(features)
        self.squares = np.zeros(features)
        self.classes = np.zeros(classes, np.int64)
        self.confidence = np.zeros(CONFIDENCE_BINS, np.int64)
        self.latency = np.zeros(_EDGES_NS.size + 1, np.int64)


class Ring:
    def __init__(self, serving: Serving, baseline: Baseline, *, rows: int, max_bytes: int) -> None:
        self.counts: Final = Counts(len(baseline.features), len(baseline.class_counts))
        self._reader: Final = FeatureReader(serving)
        self._binner: Final = Binner(baseline.features)
        self._probabilities: Final = serving.probabilities
        inputs = _monitored(serving.inputs, {f.tensor for f in serving.features if f.kind == "input"})
        floats = {spec.name for spec in serving.outputs if spec.dtype.startswith("FP")}
        outputs = _monitored(
            serving.outputs, {f.tensor for f in serving.features if f.kind == "output"} | floats
        )
        self._float_outputs: Final = tuple(sorted(floats))
        # Rows of unknown size cannot be laid out ahead: such a model is measured at once.
        self._at_once: Final = any(-1 in spec.shape[1:] or not spec.shape for spec in (*inputs, *outputs))
        row_bytes = 1 if self._at_once else sum(_row_bytes(spec) for spec in (*inputs, *outputs)) or 1
        self.size: Final = max(1, min(rows, max_bytes // row_bytes))
        self._inputs: Final = self._buffers(inputs)
        self._outputs: Final = self._buffers(outputs)
        # One tensor in, one out: the usual case, without two loops.
        usual = len(self._inputs) == len(self._outputs) == 1
        self._pair: Final = (self._inputs[0], self._outputs[0]) if usual else None
        self._used = 0
        self._spent: Final[list[int]] = []  # nanoseconds per request

    def add(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int, nanoseconds: int
    ) -> None:
        """One answered request of `rows` inferences, which took `nanoseconds`.

        Copies what is monitored; the arrays may be reused by the caller afterwards.
        """
        self._spent.append(nanoseconds)
        at = self._used
        try:
            if rows > 1 or self._at_once:
                self._add_rows(inputs, outputs, rows)
                return
            if self._pair:
                (source, taken), (answer, given) = self._pair
                taken[at], given[at] = inputs[source], outputs[answer]
            else:
                for name, buffer in self._inputs:
                    buffer[at] = inputs[name]
                for name, buffer in self._outputs:
                    buffer[at] = outputs[name]
        except (ValueError, KeyError, InvalidField):
            # The answer is out already: what cannot be measured is counted, not raised.
            self.counts.rows += rows
            self.counts.unmeasured += rows
            self._count_latencies()
            return
        self._used = at = at + 1
        if at == self.size:
            self.flush()

    def _add_rows(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int) -> None:
        if self._at_once or rows > self.size:
            self._count(inputs, outputs, rows)
            self._count_latencies()
            return
        if self._used + rows > self.size:
            self.flush()
        at = self._used
        for name, buffer in self._inputs:
            buffer[at : at + rows] = inputs[name]
        for name, buffer in self._outputs:
            buffer[at : at + rows] = outputs[name]
        self._used = at + rows
        if self._used == self.size:
            self.flush()

    @property
    def seen(self) -> int:
        """Requests, those not yet counted included."""
        return self.counts.answered + len(self._spent)

    def settle(self) -> Counts:
        """Everything so far, counted."""
        self.flush()
        self._count_latencies()
        return self.counts

    def flush(self) -> None:
        """Counts what the ring holds."""
        if len(self._spent) >= _LATENCIES_AT_ONCE:
            self._count_latencies()
        used = self._used
        if not used:
            return
        self._used = 0
        self._count(
            {name: buffer[:used] for name, buffer in self._inputs},
            {name: buffer[:used] for name, buffer in self._outputs},
            used,
        )

    def _count(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int) -> None:
        counts = self.counts
        if counts.missing.size:
            bins, missing, sums, squares = self._binner.count(self._reader.rows(inputs, outputs))
            counts.bins += bins
            counts.missing += missing
            counts.sums += sums
            counts.squares += squares
        self._count_nan(outputs, rows)
        if self._probabilities and counts.classes.size:
            self._count_classes(outputs[self._probabilities])
        counts.rows += rows

    def _count_latencies(self) -> None:
        if self._spent:
            buckets = np.searchsorted(_EDGES_NS, np.array(self._spent, np.int64), side="left")
            self.counts.latency += np.bincount(buckets, minlength=_EDGES_NS.size + 1)
            self.counts.answered += len(self._spent)
            self._spent.clear()

    def _count_nan(self, outputs: Mapping[str, Array], rows: int) -> None:
        for name in self._float_outputs:
            good = np.isfinite(outputs[name])
            if not good.all():
                bad = ~good
                by_row = bad.reshape(rows, -1).any(axis=1) if bad.shape[:1] == (rows,) else np.ones(1)
                self.counts.nan_rows += int(by_row.sum())
                return  # a row counts once, also when several of its outputs are not numbers

    def _count_classes(self, probabilities: Array) -> None:
        table = np.asarray(probabilities, np.float32).reshape(probabilities.shape[0], -1)
        top = table.max(axis=1)
        best = table.argmax(axis=1)
        known = np.isfinite(top)
        if not known.all():
            top, best = top[known], best[known]
        classes = self.counts.classes
        if table.shape[1] > classes.size:
            best = np.minimum(best, classes.size - 1)
        classes += np.bincount(best, minlength=classes.size)
        top *= CONFIDENCE_BINS
        bins = np.minimum(np.maximum(top, 0, out=top), CONFIDENCE_BINS - 1, out=top).astype(np.intp)
        self.counts.confidence += np.bincount(bins, minlength=CONFIDENCE_BINS)

    def _buffers(self, specs: Sequence[TensorSpec]) -> tuple[tuple[str, Array], ...]:
        if self._at_once:
            return ()
        return tuple((spec.name, np.zeros((self.size, *spec.shape[1:]), NUMPY[spec.dtype])) for spec in specs)


def _monitored(specs: Sequence[TensorSpec], names: set[str]) -> list[TensorSpec]:
    return [spec for spec in specs if spec.name in names and spec.dtype != "BYTES"]


def _row_bytes(spec: TensorSpec) -> int:
    return math.prod(spec.shape[1:]) * NUMPY[spec.dtype].itemsize
