"""One number per device out of what its windows counted (rollouts 5.2). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.window import LATENCY_EDGES_US

ROWS_MIN: Final = 20  # fewer inferences of a device say nothing of it
ERRORS_RISE: Final = 0.02  # of its inferences, above its own share before
REFUSED_RISE: Final = 0.05
_STEP: Final = math.log(LATENCY_EDGES_US[-1] / LATENCY_EDGES_US[0]) / (len(LATENCY_EDGES_US) - 1)
_FIRST: Final = math.log(LATENCY_EDGES_US[0]) - _STEP / 2


@dataclass(slots=True)
class Tally:
    """What one device did in one period, added up over its windows."""

    n: int = 0
    errors: int = 0
    refused: int = 0
    latency: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    memory_bytes: int = 0  # the most

    def add(
        self,
        *,
        n: int,
        errors: int,
        refused: int,
        latency: Sequence[int],
        classes: Sequence[int],
        memory_bytes: int,
    ) -> None:
        self.n += n
        self.errors += errors
        self.refused += refused
        self.latency = _plus(self.latency, latency)
        self.classes = _plus(self.classes, classes)
        self.memory_bytes = max(self.memory_bytes, memory_bytes)


def rose(bad: int, good: int, bad_before: int, good_before: int, *, by: float) -> float | None:
    """1.0 if the share of bad ones is above its own before by more than `by`, else 0.0; None for too few.

    >>> rose(5, 95, 1, 99, by=0.02), rose(2, 98, 1, 99, by=0.02), rose(1, 5, 0, 0, by=0.02)
    (1.0, 0.0, None)
    """
    seen, before = bad + good, bad_before + good_before
    if seen < ROWS_MIN:
        return None
    usual = bad_before / before if before >= ROWS_MIN else 0.0
    return float(bad / seen > usual + by)


def log_latency(latency: Sequence[int]) -> float | None:
    """Mean logarithm of microseconds, each inference at its bucket's middle; None for too few.

    >>> round(log_latency([0] * 10 + [40] + [0] * 21), 3)
    7.204
    """
    count = sum(latency)
    if count < ROWS_MIN or len(latency) != len(LATENCY_EDGES_US) + 1:
        return None
    return math.fsum(hits * (_FIRST + bucket * _STEP) for bucket, hits in enumerate(latency) if hits) / count


def log_memory(memory_bytes: int) -> float | None:
    return math.log(memory_bytes) if memory_bytes > 0 else None


def class_distance(now: Sequence[int], before: Sequence[int]) -> float | None:
    """Total variation distance of two counts of classes in 0..1, less what sampling alone gives.

    For counts of n and m of a class with probability p the mean of |difference| is √(2p(1-p)(1/n+1/m)/π);
    half of their sum is the expected distance without any change. None for too few, or other classes.

    >>> class_distance([500, 500], [50, 50]), class_distance([5, 5], [50, 50])
    (0.0, None)
    >>> round(class_distance([100, 0, 0, 0], [25, 25, 25, 25]), 2)
    0.67
    """
    n, m = sum(now), sum(before)
    if min(n, m) < ROWS_MIN or len(now) != len(before):
        return None
    distance = noise = 0.0
    for count, reference in zip(now, before, strict=True):
        p = (count + reference) / (n + m)
        distance += abs(count / n - reference / m) / 2
        noise += math.sqrt(2 * p * (1 - p) * (1 / n + 1 / m) / math.pi) / 2
    return max(0.0, distance - noise)


def _plus(a: tuple[int, ...], b: Sequence[int]) -> tuple[int, ...]:
    if not a or not b:
        return a or tuple(b)
    if len(a) != len(b):
        return a  # another set of classes: the first period's is kept
    return tuple(x + y for x, y in zip(a, b, strict=True))
