"""Shares of devices in two arms, stratum by stratum: an exact test and an interval (rollouts 5.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

STEPS: Final = 60  # of a bisection in -1..1: the bound is right to 1e-17
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Table:
    """`hit` of `n` treated devices, `hit_control` of `n_control`; both arms have one device at least."""

    hit: int
    n: int
    hit_control: int
    n_control: int

    @property
    def difference(self) -> float:
        return self.hit / self.n - self.hit_control / self.n_control

    @property
    def weight(self) -> float:
        """Of Mantel and Haenszel."""
        return self.n * self.n_control / (self.n + self.n_control)


def surely_more(tables: Sequence[Table]) -> float:
    """Exact one-sided p that the treated are hit no more often; 1.0 without any hit.

    The sum of hits among the treated, given each stratum's margins, is a sum of hypergeometric
    variables; its tail is computed in whole numbers. One stratum: Fisher's test. Source: Mehta, Patel,
    Gray, JASA 80 (1985).

    >>> [round(surely_more([Table(k, 20, 0, 80)]), 4) for k in (1, 2, 3, 4)]
    [0.2, 0.0384, 0.0071, 0.0012]
    """
    ways, lowest, seen = [1], 0, 0
    for table in tables:
        hits = table.hit + table.hit_control
        first, last = max(0, hits - table.n_control), min(hits, table.n)
        own = [math.comb(table.n, k) * math.comb(table.n_control, hits - k) for k in range(first, last + 1)]
        ways = _convolve(ways, own)
        lowest += first
        seen += table.hit
    tail, total = sum(ways[seen - lowest :]), sum(ways)
    return tail / total


def _convolve(a: Sequence[int], b: Sequence[int]) -> list[int]:
    result = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


def binomial_tail(hit: int, n: int, share: float) -> float:
    """P(at least `hit` of `n`) where each is hit with probability `share`; the shorter side is summed.

    >>> round(binomial_tail(4, 20, 0.05), 4), round(binomial_tail(1, 20, 0.05), 4)
    (0.0159, 0.6415)
    """
    if hit <= n // 2:
        return max(0.0, 1.0 - math.fsum(_binomial(k, n, share) for k in range(hit)))
    return min(1.0, math.fsum(_binomial(k, n, share) for k in range(hit, n + 1)))


def _binomial(k: int, n: int, share: float) -> float:
    if share <= 0.0 or share >= 1.0:
        return float(k == (n if share >= 1.0 else 0))
    chosen = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(chosen + k * math.log(share) + (n - k) * math.log1p(-share))


def difference(tables: Sequence[Table]) -> float:
    """Weighted mean over strata of share(treated) - share(control)."""
    total = math.fsum(table.weight for table in tables)
    return math.fsum(table.weight * table.difference for table in tables) / total


def difference_bound(tables: Sequence[Table], level: float, *, upper: bool) -> float:
    """One-sided bound of the difference at confidence 1 - `level`, in -1..1.

    Score interval with the variance at the difference in question. Source: Miettinen, Nurminen,
    Statistics in Medicine 4 (1985); the closed form: Farrington, Manning, ibid. 9 (1990).

    >>> round(difference_bound([Table(0, 20, 0, 80)], 0.02, upper=True), 3)
    0.176
    """
    z = -NormalDist().inv_cdf(level)
    middle = difference(tables)
    inside, outside = middle, 1.0 if upper else -1.0
    for _ in range(STEPS):
        probe = (inside + outside) / 2
        if abs(_score(tables, probe)) < z:
            inside = probe
        else:
            outside = probe
    return (inside + outside) / 2


def _score(tables: Sequence[Table], delta: float) -> float:
    away = math.fsum(table.weight * (table.difference - delta) for table in tables)
    variance = math.fsum(table.weight**2 * _variance(table, delta) for table in tables)
    if variance <= _TINY * _TINY:
        return 0.0 if abs(away) < _TINY else math.copysign(math.inf, away)
    return away / math.sqrt(variance)


def _variance(table: Table, delta: float) -> float:
    n, m = table.n, table.n_control
    share = _share_under(table, delta)
    control = min(1.0, max(0.0, share - delta))
    return (share * (1 - share) / n + control * (1 - control) / m) * (n + m) / max(1, n + m - 1)


def _share_under(table: Table, delta: float) -> float:
    """The most likely share of the treated where it is the control's plus `delta`."""
    theta = table.n_control / table.n
    share, control = table.hit / table.n, table.hit_control / table.n_control
    a = 1 + theta
    b = -(1 + theta + share + theta * control + delta * (theta + 2))
    c = delta * delta + delta * (2 * share + theta + 1) + share + theta * control
    d = -share * delta * (1 + delta)
    v = b**3 / (27 * a**3) - b * c / (6 * a * a) + d / (2 * a)
    u = math.copysign(math.sqrt(max(0.0, b * b / (9 * a * a) - c / (3 * a))), v)
    angle = 1.0 if u == 0 else max(-1.0, min(1.0, v / u**3))
    found = 2 * u * math.cos((math.pi + math.acos(angle)) / 3) - b / (3 * a)
    return min(1.0, 1.0 + delta, max(0.0, delta, found))
