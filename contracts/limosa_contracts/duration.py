"""Lengths of time as people write them: `5s`, `90m`, `24h`, `7d`."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Final

from limosa_contracts.errors import InvalidField

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_S: Final = 366 * 86400.0


def parse_duration(text: str, *, where: str) -> float:
    """Seconds, to the millisecond, 0 to one year. Raises InvalidField.

    >>> parse_duration("90m", where="bake")
    5400.0
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InvalidField(
            f"{text[:40]!r} is not a length of time",
            where=where,
            why="write a number and ms, s, m, h or d: 24h",
        )
    seconds = round(float(found.group(1)) * _SECONDS[found.group(2)], 3)
    if seconds > LONGEST_S:
        raise InvalidField(f"{text[:40]!r} is too long", where=where, why="at most 366d")
    return seconds


def format_duration(seconds: float) -> str:
    """The exact length, in the largest unit that divides it; `parse_duration` reads it back.

    >>> [format_duration(s) for s in (0, 5.25, 5400, 86400)]
    ['0s', '5.25s', '90m', '24h']
    """
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size * (2 if unit == "d" else 1) and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def about_duration(seconds: float) -> str:
    """A length for reading only: two units at most, the small one rounded up.

    >>> [about_duration(s) for s in (0.4, 59, 61, 5400, 100801)]
    ['1s', '59s', '1m 1s', '1h 30m', '1d 5h']
    """
    rest = math.ceil(seconds)
    for (unit, size), (small, small_size) in pairwise((("d", 86400), ("h", 3600), ("m", 60), ("s", 1))):
        if rest >= size:
            count = math.ceil(rest % size / small_size)
            if count * small_size == size:
                return about_duration(rest - rest % size + size)
            return f"{rest // size}{unit}" + (f" {count}{small}" if count else "")
    return f"{rest}s"
