"""What a metric is: columns per row, a value of their sums, and what a point of it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_compiler.arrays import Array

Doubles: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = Callable[[Array, Array], Doubles]
Value: TypeAlias = Callable[[Doubles, int], Doubles]
Check: TypeAlias = Callable[[Array, Array, str], None]
_LEAST: float = 1e-12  # what a percentage is taken of, at least


class Scale(Enum):
    """What one point is."""

    SHARE = "share"
    """One percentage point of the value."""
    RELATIVE = "relative"
    """One percent of fp32's value."""
    NOISE = "noise"
    """The value is in dB; one point is noise with one percent of the signal's power (20 dB)."""


class Labels(Enum):
    """What evaluation labels are, before anything is made of them."""

    CLASS = "class"
    """[N] whole numbers, or names out of `classes`."""
    TEXT = "text"
    """[N] texts, or [N, L] positions in `classes`, -1 fills up."""
    BOXES = "boxes"
    """[N, M, 5]: x1, y1, x2, y2, class; class -1 fills up."""
    LIKE_OUTPUT = "like_output"
    """[N, ...] as many numbers per row as the output has."""
    ANY = "any"
    """[N, ...] whatever the user's function takes."""


def accepts(answers: Array, labels: Array, where: str) -> None:
    """A check that refuses nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`columns(answers, labels)` [N, C] are summed over rows; `value(sums [..., C], rows)` gives [...].

    `check(answers, labels, where)` raises DataMismatch for labels that cannot be compared with these
    answers. Without `needs_labels`, fp32's own answers stand for labels where there are none.
    """

    name: str
    higher_is_better: bool
    scale: Scale
    labels: Labels
    columns: Columns
    value: Value
    check: Check = accepts
    needs_labels: bool = True
    by_row: bool = True
    """Whether columns of a row depend on that row alone: they may then be taken batch by batch."""
    code_digest: str = ""  # sha256:… of the file that a function of the user's own is in

    @property
    def is_share(self) -> bool:
        """Whether points are percentage points of the value."""
        return self.scale is Scale.SHARE

    @property
    def classifies(self) -> bool:
        """Whether each row has one class, which the output names."""
        return self.labels is Labels.CLASS

    def of(self, columns: Doubles) -> float:
        return float(self.value(columns.sum(axis=0), len(columns)))

    def points(self, value: Doubles, reference: Doubles) -> Doubles:
        """How many points better than the reference; negative is worse.

        >>> from limosa_compiler.metrics import METRICS
        >>> round(float(METRICS["accuracy"].points(np.float64(0.87), np.float64(0.88))), 6)
        -1.0
        >>> round(float(METRICS["sqnr"].points(np.float64(20), np.float64(200))), 6)
        -1.0
        """
        if self.scale is Scale.NOISE:
            return np.asarray(100.0 * (10.0 ** (-reference / 10.0) - 10.0 ** (-value / 10.0)))
        better = (value - reference) if self.higher_is_better else (reference - value)
        of = 1.0 if self.is_share else np.maximum(np.abs(reference), _LEAST)
        return np.asarray(100.0 * better / of)

    def points_below(self, value: float, bar: float) -> float:
        """Points by which the value misses a bar, 0 if it is met.

        >>> from limosa_compiler.metrics import METRICS
        >>> [round(METRICS[name].points_below(0.8, 0.9), 3) for name in ("accuracy", "rmse")]
        [10.0, 0.0]
        """
        return max(0.0, -float(self.points(np.asarray(value, np.float64), np.asarray(bar, np.float64))))


def mean(sums: Doubles, rows: int) -> Doubles:
    """Of the first column."""
    return np.asarray(sums[..., 0] / rows)
