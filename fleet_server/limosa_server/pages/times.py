"""Times as a tired person reads them: how long ago, and exactly when, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
FAR_S: Final = 253402300799.0  # the year 9999: what a clock can say at most


def ago(at: float | None, now: float) -> str:
    """Coarse, so that a page does not change by being looked at.

    >>> [ago(at, 10_000.0) for at in (None, 9_999.0, 9_700.0, 2_500.0, 10_900.0)]
    ['never', 'just now', '5 min ago', '2 h ago', 'in 15 min']
    """
    if at is None:
        return "never"
    length = span(abs(now - at))
    if not length:
        return "just now"
    return f"{length} ago" if at <= now else f"in {length}"


def span(seconds: float) -> str:
    """A length of time in its largest unit; "" below a minute.

    >>> [span(s) for s in (20, 90, 7200, 200_000)]
    ['', '1 min', '2 h', '2 d']
    """
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return ""


def utc(at: float | None) -> str:
    """To the second.

    >>> utc(0.0), utc(None)
    ('1970-01-01 00:00:00 UTC', '')
    """
    return f"{_at(at):%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def machine(at: float | None) -> str:
    """For `<time datetime=…>`."""
    return f"{_at(at):%Y-%m-%dT%H:%M:%SZ}" if at is not None else ""


def _at(at: float) -> datetime:
    return datetime.fromtimestamp(min(max(at, 0.0), FAR_S), UTC)
