"""Numbers out of what was counted: distances of classes, quantiles of latency (agent 4.2). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from limosa_contracts.window import LATENCY_EDGES_US


def class_distance(live: Sequence[int], baseline: Sequence[int]) -> float:
    """Total variation distance in 0..1, less what sampling alone is expected to give.

    For n rows of a class with probability p the mean of |count/n - p| is √(2p(1-p)/(πn)); half of
    their sum is the expected distance without any change.

    >>> class_distance([50, 50], [500, 500])
    0.0
    >>> round(class_distance([100, 0, 0, 0], [25, 25, 25, 25]), 2)
    0.68
    """
    n, m = sum(live), sum(baseline)
    if not n or not m or len(live) != len(baseline):
        return 0.0
    distance = noise = 0.0
    for count, reference in zip(live, baseline, strict=True):
        p = reference / m
        distance += abs(count / n - p) / 2
        noise += math.sqrt(2 * p * (1 - p) / (math.pi * n)) / 2
    return max(0.0, distance - noise)


def quantile_us(latency: Sequence[int], share: float) -> float:
    """Upper edge of the bucket that holds the quantile, in µs; the last bucket counts double its edge."""
    wanted, seen = share * sum(latency), 0
    for edge, count in zip((*LATENCY_EDGES_US, 2 * LATENCY_EDGES_US[-1]), latency, strict=True):
        seen += count
        if seen >= wanted and seen:
            return float(edge)
    return 0.0


def count_above(latency: Sequence[int], limit_us: float) -> int:
    """Inferences surely slower than the limit: those in buckets that begin at or above it."""
    return sum(
        count for lower, count in zip((0, *LATENCY_EDGES_US), latency, strict=True) if lower >= limit_us
    )


def surely_slower(latency: Sequence[int], limit_us: float, *, sigmas: float) -> bool:
    """Whether more than 5 % are above the limit, by so many standard deviations of such a count."""
    n = sum(latency)
    return count_above(latency, limit_us) > 1 + 0.05 * n + sigmas * math.sqrt(0.05 * 0.95 * n)
