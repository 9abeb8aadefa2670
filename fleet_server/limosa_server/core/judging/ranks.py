"""One number per device in two arms, stratum by stratum: ranks, the shift and its bounds (rollouts 5.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Pair:
    """Both arms of one stratum, ascending; neither is empty."""

    treated: Numbers
    control: Numbers

    @classmethod
    def of(cls, treated: Sequence[float], control: Sequence[float]) -> Pair:
        return cls(np.sort(np.asarray(treated, np.float64)), np.sort(np.asarray(control, np.float64)))

    @property
    def weight(self) -> float:
        """Locally best weights of van Elteren."""
        return 1.0 / (len(self.treated) + len(self.control) + 1)


def surely_larger(pairs: Sequence[Pair]) -> float:
    """One-sided p that the treated are no larger: Mann-Whitney within strata, normal, ties corrected.

    Source: van Elteren, Bull. Int. Stat. Inst. 37 (1960); E. L. Lehmann, Nonparametrics (1975), 3.3.

    >>> round(surely_larger([Pair.of([5.0, 6, 7, 8, 9], [1.0, 2, 3, 4, 5])]), 4)
    0.006
    """
    variance = math.fsum(pair.weight**2 * _variance(pair) for pair in pairs)
    if variance <= 0.0:
        return 1.0  # all numbers are equal
    return _upper_tail(_excess(pairs, 0.0) / math.sqrt(variance))


def shift(pairs: Sequence[Pair]) -> float:
    """By how much the treated are larger: Hodges and Lehmann's estimate, over all strata."""
    return _crossing(pairs, 0.0)


def shift_bound(pairs: Sequence[Pair], level: float, *, upper: bool) -> float:
    """One-sided bound of the shift at confidence 1 - `level`: the shifts that the test does not refuse.

    >>> pair = Pair.of([1.1, 1.2, 1.3, 1.4], [1.0, 1.1, 1.2, 1.3])
    >>> round(shift([pair]), 3), round(shift_bound([pair], 0.05, upper=True), 3)
    (0.1, 0.3)
    """
    z = -NormalDist().inv_cdf(level)
    # Ties make the variance smaller; leaving that out makes the interval longer, never shorter.
    spread = math.sqrt(
        math.fsum(
            pair.weight**2 * len(pair.treated) * len(pair.control) / (12 * pair.weight) for pair in pairs
        )
    )
    return _crossing(pairs, -z * spread if upper else z * spread)


def _crossing(pairs: Sequence[Pair], wanted: float) -> float:
    """The shift at which the excess of ranks, which falls with it, passes `wanted`."""
    low = min(float(pair.treated[0] - pair.control[-1]) for pair in pairs)
    high = max(float(pair.treated[-1] - pair.control[0]) for pair in pairs)
    if low == high:
        return low
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _excess(pairs, middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _excess(pairs: Sequence[Pair], moved: float) -> float:
    """Weighted count of (treated - moved > control), ties half, less what chance gives."""
    total = []
    for pair in pairs:
        at = pair.treated - moved
        below = np.searchsorted(pair.control, at, "left").sum()
        up_to = np.searchsorted(pair.control, at, "right").sum()
        chance = len(pair.treated) * len(pair.control) / 2
        total.append(pair.weight * ((int(below) + int(up_to)) / 2 - chance))
    return math.fsum(total)


def _variance(pair: Pair) -> float:
    n, m = len(pair.treated), len(pair.control)
    both = n + m
    if both < 2:
        return 0.0
    _, counts = np.unique(np.concatenate((pair.treated, pair.control)), return_counts=True)
    ties = sum(int(t) ** 3 - int(t) for t in counts)
    return n * m / 12 * ((both + 1) - ties / (both * (both - 1)))


def _upper_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))
