"""How long a device is usually away: silence is judged by its own habits (rollouts 3.4).

Time, not check-ins, is counted: a device that is switched off each night for 14 hours and reports each
minute of the day has one long gap in 600, but spends most of its life in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

SHORTEST_S: Final = 120.0  # shorter gaps are not told apart from a connection that holds
BUCKETS: Final = 18  # bucket i > 0: gaps from SHORTEST_S * 2**(i-1) up to twice that; the last: 91 days on
MEMORY_S: Final = 60 * 86400.0  # beyond this the past counts half
LEAST_S: Final = 2 * 86400.0  # observed for less: not known yet
SILENT_FACTOR: Final = 2.0  # k: how much longer than usual is silence (rollouts 3.4)


def bucket_of(gap_s: float) -> int:
    """
    >>> [bucket_of(gap) for gap in (0, 119, 120, 239, 240, 86400, 1e12)]
    [0, 0, 1, 1, 2, 10, 17]
    """
    if gap_s < SHORTEST_S:
        return 0
    return min(BUCKETS - 1, 1 + int(math.log2(gap_s / SHORTEST_S)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """`spans_s[i]`: seconds spent in gaps of bucket i; bucket 0 is time in which it was there."""

    observed_to: float
    spans_s: tuple[float, ...] = field(default=(0.0,) * BUCKETS)

    @classmethod
    def of(cls, observed_to: float, spans_s: Sequence[float]) -> Self:
        """From what was kept; another number of buckets begins anew."""
        if len(spans_s) != BUCKETS:
            return cls(observed_to=observed_to)
        return cls(observed_to=observed_to, spans_s=tuple(spans_s))

    def seen(self, *, gap_s: float, now: float) -> Habit:
        """After a sign of it at `now`, Unix seconds, that ended a gap of `gap_s`."""
        elapsed = now - self.observed_to
        if elapsed <= 0:
            return self
        gap = min(max(gap_s, 0.0), elapsed)
        spans = list(self.spans_s)
        spans[bucket_of(gap)] += gap
        spans[0] += elapsed - gap
        if sum(spans) > MEMORY_S:
            spans = [span / 2 for span in spans]
        return replace(self, observed_to=now, spans_s=tuple(spans))

    def gap_s(self, share: float) -> float | None:
        """The gap, rounded up to its bucket's end, in which or in shorter ones it spends `share` (0..1) of
        its time; None while too little is known.

        >>> night = Habit(observed_to=0.0)
        >>> for day in range(30):
        ...     night = night.seen(gap_s=14 * 3600, now=(day + 1) * 86400.0)
        >>> night.gap_s(0.99), night.gap_s(0.3)
        (61440.0, 120.0)
        """
        total = sum(self.spans_s)
        if total < LEAST_S:
            return None
        reached = 0.0
        for place, span in enumerate(self.spans_s):
            reached += span
            if reached >= share * total:
                return float(SHORTEST_S * 2**place)
        return float(SHORTEST_S * 2 ** (BUCKETS - 1))

    @property
    def usual_gap_s(self) -> float | None:
        """It is as good as never (1 % of its time) silent for longer."""
        return self.gap_s(0.99)

    @property
    def there(self) -> float | None:
        """Share of its time in which it can be reached, 0..1; None while too little is known."""
        total = sum(self.spans_s)
        return None if total < LEAST_S else self.spans_s[0] / total


def is_silent(silent_for_s: float, *, allowed_s: float, usual_gap_s: float | None) -> bool:
    """Whether a silence is longer than this device's own habits explain.

    >>> is_silent(1000, allowed_s=900, usual_gap_s=None), is_silent(1000, allowed_s=900, usual_gap_s=600.0)
    (True, False)
    """
    return silent_for_s > max(allowed_s, SILENT_FACTOR * (usual_gap_s or 0.0))
