"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "\u2212"


def size(count: float) -> str:
    """
    >>> size(812), size(13_912), size(3_200_000)
    ('812 B', '13.9 kB', '3.20 MB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{_three(count / scale)} {unit}"
    return f"{count:.0f} B"


def micros(value: float) -> str:
    """
    >>> micros(52.31), micros(1234.0), micros(2.5e6)
    ('52.3 µs', '1.23 ms', '2.50 s')
    """
    for unit, scale in (("s", 1e6), ("ms", 1e3)):
        if value >= scale:
            return f"{_three(value / scale)} {unit}"
    return f"{_three(value)} µs"


def signed(value: float, digits: int = 2) -> str:
    """
    >>> signed(0.5), signed(-0.25), signed(-0.001)
    ('+0.50', '−0.25', '0.00')
    """
    shown = f"{abs(value):.{digits}f}"
    if not float(shown):
        return shown
    return ("+" if value > 0 else MINUS) + shown


def short(value: float) -> str:
    """Four significant digits.

    >>> short(-1234.56), short(0.000123), short(float("nan"))
    ('−1235', '0.000123', 'nan')
    """
    return f"{value:.4g}".replace("-", MINUS)


def ticks(low: float, high: float, *, about: int = 5) -> Sequence[float]:
    """Round numbers from at or above `low` to at or below `high`.

    >>> ticks(0, 10), ticks(-1.3, 0.4)
    ((0.0, 2.0, 4.0, 6.0, 8.0, 10.0), (-1.0, -0.5, 0.0))
    """
    span = max(high - low, 1e-12)
    raw = span / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def _three(value: float) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"
