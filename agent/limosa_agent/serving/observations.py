"""What one loaded model has seen and said: the counters of telemetry 1.4 and the ring's sketches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from limosa_agent.serving.feedback import FeedbackBook
from limosa_agent.serving.ring import Ring
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.baseline import Baseline
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import Serving

Listener: TypeAlias = Callable[[Mapping[str, Array], Mapping[str, Array]], None]


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
        feedback_predictions: int = 0,
    ) -> None:
        self._ring: Final = Ring(serving, baseline, rows=ring_rows, max_bytes=ring_max_bytes)
        self._manifest_sha256: Final = manifest_sha256
        self._baseline_id: Final = baseline.baseline_id
        self.add = self._ring.add  # once per inference: no call in between
        self._errors: Final[Counter[str]] = Counter()
        self._refused: Final[Counter[str]] = Counter()
        self.replayed = 0
        self.feedback: Final = FeedbackBook(serving, size=feedback_predictions)

    def refuse(self, code: str) -> None:
        """A request that the caller has to change."""
        self._refused[code] += 1

    def fail(self, code: str) -> None:
        """A request that this side could not answer."""
        self._errors[code] += 1

    def listen(self, listener: Listener | None) -> None:
        """`listener` hears of every inference that is added; None: of none, at no cost.

        It may keep the arrays: whoever adds with a listener does not reuse them.
        """
        if listener is None:
            self.add = self._ring.add
            return
        add = self._ring.add

        def add_and_tell(
            inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int, nanoseconds: int
        ) -> None:
            add(inputs, outputs, rows, nanoseconds)
            listener(inputs, outputs)

        self.add = add_and_tell

    def snapshot(self) -> dict[str, JsonValue]:
        """Everything so far, the ring included, as plain JSON."""
        counts = self._ring.settle()
        return {
            "n": counts.rows,
            "requests": counts.answered + self._errors.total() + self._refused.total(),
            "failed_requests": self._errors.total(),
            "errors": dict(self._errors),
            "refused": dict(self._refused),
            "replayed": self.replayed,
            "nan_outputs": counts.nan_rows,
            "unmeasured": counts.unmeasured,
            "latency": counts.latency.tolist(),
            "classes": counts.classes.tolist(),
            "confidence": counts.confidence.tolist(),
            "bins": counts.bins.tolist(),
            "missing": counts.missing.tolist(),
            "sums": counts.sums.tolist(),
            "squares": counts.squares.tolist(),
            "baseline_id": self._baseline_id,
            "manifest_sha256": self._manifest_sha256,
            **self.feedback.snapshot(),
        }

    @property
    def seen(self) -> int:
        """Grows with every request and every piece of feedback, whatever came of it."""
        return self._ring.seen + self._errors.total() + self._refused.total() + self.feedback.counts.total
