"""What one loaded model has seen and said: the counters of telemetry 1.4 and the ring's sketches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from limosa_agent.serving.ring import Ring
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.baseline import Baseline
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import Serving
from limosa_contracts.window import LATENCY_EDGES_US

_EDGES_NS: Final = np.array(LATENCY_EDGES_US, np.int64) * 1000
_LATENCIES_MAX: Final = 256  # latencies that wait to be put into buckets


class Observations:
    """Cumulative since the model was loaded. Not thread-safe: the worker's loop alone writes."""

    def __init__(
        self,
        serving: Serving,
        baseline: Baseline,
        *,
        manifest_sha256: str,
        ring_rows: int,
        ring_max_bytes: int,
    ) -> None:
        self._ring: Final = Ring(serving, baseline, rows=ring_rows, max_bytes=ring_max_bytes)
        self._manifest_sha256: Final = manifest_sha256
        self._baseline_id: Final = baseline.baseline_id
        self._latency: Final = np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)
        self._waiting: Final[list[int]] = []
        self._errors: Final[Counter[str]] = Counter()
        self._refused: Final[Counter[str]] = Counter()
        self.requests = 0
        self.replayed = 0

    def add(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int, nanoseconds: int
    ) -> None:
        """One answered request of `rows` inferences."""
        self.requests += 1
        self._waiting.append(nanoseconds)
        if len(self._waiting) >= _LATENCIES_MAX:
            self._count_latencies()
        self._ring.add(inputs, outputs, rows)

    def refuse(self, code: str) -> None:
        """A request that the caller has to change."""
        self.requests += 1
        self._refused[code] += 1

    def fail(self, code: str) -> None:
        """A request that this side could not answer."""
        self.requests += 1
        self._errors[code] += 1

    def snapshot(self) -> dict[str, JsonValue]:
        """Everything so far, the ring included, as plain JSON."""
        self._ring.flush()
        self._count_latencies()
        counts = self._ring.counts
        return {
            "n": counts.rows,
            "requests": self.requests,
            "failed_requests": self._errors.total(),
            "errors": dict(self._errors),
            "refused": dict(self._refused),
            "replayed": self.replayed,
            "nan_outputs": counts.nan_rows,
            "unmeasured": counts.unmeasured,
            "latency": self._latency.tolist(),
            "classes": counts.classes.tolist(),
            "confidence": counts.confidence.tolist(),
            "bins": counts.bins.tolist(),
            "missing": counts.missing.tolist(),
            "sums": counts.sums.tolist(),
            "squares": counts.squares.tolist(),
            "baseline_id": self._baseline_id,
            "manifest_sha256": self._manifest_sha256,
        }

    def _count_latencies(self) -> None:
        if self._waiting:
            buckets = np.searchsorted(_EDGES_NS, np.array(self._waiting, np.int64), side="left")
            np.add(self._latency, np.bincount(buckets, minlength=self._latency.size), out=self._latency)
            self._waiting.clear()
