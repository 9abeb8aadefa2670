"""Student's t distribution: tail and quantile. Pure, with `math` alone (ADR 72).

The tail is the regularised incomplete beta function, as a continued fraction by Lentz's method
(Abramowitz and Stegun 26.5.8 and 26.7.1); the quantile is found by halving.
"""

from __future__ import annotations

import math
from typing import Final

TINY: Final = 1e-300  # stands for 0 in Lentz's method
CLOSE: Final = 1e-15
TERMS_MAX: Final = 10_000
FREEDOM_MAX: Final = 1e7  # beyond, the normal distribution to 7 digits


def tail(value: float, freedom: float) -> float:
    """P(T > value), 0 to 1. `freedom` > 0.

    >>> round(tail(2.0, 10), 6), tail(0.0, 3), round(tail(-1.0, 1), 6)
    (0.036694, 0.5, 0.75)
    """
    if math.isinf(value):
        return 0.0 if value > 0 else 1.0
    if freedom > FREEDOM_MAX:
        return 0.5 * math.erfc(value / math.sqrt(2))
    square = value * value
    x, y = freedom / (freedom + square), square / (freedom + square)
    half = 0.5 * _incomplete_beta(freedom / 2, 0.5, x, y)
    return half if value >= 0 else 1 - half


def quantile(probability: float, freedom: float) -> float:
    """The t with P(T <= t) = `probability`, 0 < probability < 1.

    >>> round(quantile(0.975, 4), 4), quantile(0.5, 9)
    (2.7764, 0.0)
    """
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while tail(high, freedom) > 1 - probability:
        low, high = high, 2 * high
    while high - low > CLOSE * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if tail(middle, freedom) > 1 - probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b), from the side on which the fraction closes quickly; `y` is 1 - x, with all its digits."""
    if x == 0.0 or y == 0.0:
        return 1.0 if y == 0.0 else 0.0
    log_x = math.log(x) if x < 0.5 else math.log1p(-y)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * log_x + b * math.log(y)
    if x < (a + 1) / (a + b + 2):
        return math.exp(logs) * _fraction(a, b, x) / a
    return 1 - math.exp(logs) * _fraction(b, a, y) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, TERMS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < CLOSE:
            break
    return result


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
