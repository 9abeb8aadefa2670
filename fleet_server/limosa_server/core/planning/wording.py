"""Sizes and moments as people read them in a plan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def size(count: int) -> str:
    """
    >>> [size(n) for n in (0, 999, 1500, 48_000_000, 2_500_000_000)]
    ['0 bytes', '999 bytes', '1.5 kB', '48 MB', '2.5 GB']
    """
    for unit, name in _UNITS:
        if count >= unit:
            value = count / unit
            return f"{value:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"


def when(at: float) -> str:
    """To the minute.

    >>> when(86400.0)
    '1970-01-02 00:00 UTC'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
