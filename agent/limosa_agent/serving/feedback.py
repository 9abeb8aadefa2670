"""Joins what applications say later with what was answered, and counts it (telemetry 5.2, rollouts 6).

Nothing of it leaves the device but sums: no id, no label, no single value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from limosa_agent.serving.errors import BadFeedback
from limosa_agent.serving.feedback_request import Piece
from limosa_agent.serving.prediction_memory import LABEL_BIT, PredictionMemory, Remembered
from limosa_agent.serving.tensor_codec import Array
from limosa_contracts.baseline import CONFIDENCE_BINS
from limosa_contracts.feedback import KPIS_MAX, Feedback, Kpi
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import Serving

log = logging.getLogger(__name__)

ROWS_MAX: Final = 64  # of one request: of more rows only the first are remembered


@dataclass(slots=True)
class Joined:
    """What came of pieces of feedback. `unmatched`: their prediction is forgotten, or of another version;
    `repeated`: the same was said of it before."""

    matched: int = 0
    unmatched: int = 0
    repeated: int = 0

    @property
    def total(self) -> int:
        return self.matched + self.unmatched + self.repeated

    def as_json(self) -> dict[str, JsonValue]:
        return {"matched": self.matched, "unmatched": self.unmatched, "repeated": self.repeated}


class FeedbackBook:
    """Of one loaded model; cumulative since it was loaded. Not thread-safe."""

    def __init__(self, serving: Serving, *, size: int) -> None:
        """`size`: predictions that are remembered; 0 for none. Takes no memory before the first."""
        self._classes: Final = serving.classes
        self._probabilities: Final = serving.probabilities
        self._size: Final = size
        self._memory: PredictionMemory | None = None
        self._feedback = Feedback()
        self.counts: Final = Joined()

    def keep_in(self, path: Path) -> None:
        """Predictions are remembered in this file from now on, as those in it already are."""
        if not self._size:
            return
        try:
            self._memory = PredictionMemory.open(path, self._size)
        except OSError as error:  # then they are forgotten with the process
            log.warning("predictions cannot be remembered in a file: %s", error)

    def remember(self, ident: str, outputs: Mapping[str, Array], rows: int) -> None:
        """An answered request that had an id."""
        if not self._size:
            return
        memory = self._memory
        if memory is None:
            memory = self._memory = PredictionMemory.in_memory(self._size)
        if not self._probabilities:
            for row in range(min(rows, ROWS_MAX)):
                memory.remember(ident, row, None, None)
            return
        table = outputs[self._probabilities]
        for row in range(min(rows, ROWS_MAX, table.shape[0] if table.ndim else 0)):
            memory.remember(ident, row, *_top(table[row]))

    def take(self, pieces: Iterable[Piece]) -> Joined:
        """Counts each once. Raises BadFeedback for a label or a name that cannot be counted; what came
        before it has counted, and is not counted again when it is repeated."""
        joined = Joined()
        for piece in pieces:
            outcome = self._take(piece)
            for counts in (joined, self.counts):
                setattr(counts, outcome, getattr(counts, outcome) + 1)
        return joined

    def snapshot(self) -> dict[str, JsonValue]:
        """Empty where nothing was ever said."""
        if not self.counts.total:
            return {}
        return {
            "feedback": self._feedback.as_json(),
            "feedback_matched": self.counts.matched,
            "feedback_unmatched": self.counts.unmatched,
            "feedback_repeated": self.counts.repeated,
        }

    def _take(self, piece: Piece) -> str:
        """Which of Joined's counts it belongs to."""
        label = None if piece.label is None else self._class_of(piece.label)
        found = self._memory.find(piece.ident, piece.row) if self._memory is not None else None
        if self._memory is None or found is None:
            return "unmatched"
        if label is not None:
            if found.said >> LABEL_BIT & 1:
                return "repeated"
            self._count_label(found, label)
            self._memory.mark(found, LABEL_BIT)
            return "matched"
        number = self._memory.number_of(piece.name)
        if number is None:
            raise BadFeedback(
                f"{piece.name!r} would be one KPI too many",
                where="name",
                why=f"{KPIS_MAX} are counted: {', '.join(self._memory.names)}",
            )
        if found.said >> number & 1:
            return "repeated"
        one = Kpi(n=1, total=piece.value, squares=piece.value * piece.value)
        self._feedback = self._feedback.plus(Feedback(kpis={piece.name: one}))
        self._memory.mark(found, number)
        return "matched"

    def _class_of(self, label: str | int) -> int:
        if not self._probabilities:
            raise BadFeedback("the model gives no classes", where="label", hint="send name and value")
        if isinstance(label, int):
            if self._classes and label >= len(self._classes):
                raise BadFeedback(f"there is no class {label}", where="label", why=self._told())
            return label
        if label not in self._classes:
            raise BadFeedback(f"{label[:80]!r} is no class", where="label", why=self._told())
        return self._classes.index(label)

    def _told(self) -> str:
        return f"the classes are {', '.join(self._classes)}"[:300] if self._classes else "it has no names"

    def _count_label(self, found: Remembered, label: int) -> None:
        if found.top is None or found.bin is None or found.bin >= CONFIDENCE_BINS:
            return
        labelled = [0] * CONFIDENCE_BINS
        labelled[found.bin] = 1
        right = [count * (found.top == label) for count in labelled]
        self._feedback = self._feedback.plus(Feedback(labelled=tuple(labelled), correct=tuple(right)))


def _top(row: Array) -> tuple[int | None, int | None]:
    """(class, bin of its probability) as the ring counts them; None for a row that is no number."""
    values = np.asarray(row, np.float32).reshape(-1)
    best = int(values.argmax())
    top = float(values[best])
    if not np.isfinite(top):
        return None, None
    return best, min(max(int(top * CONFIDENCE_BINS), 0), CONFIDENCE_BINS - 1)
