"""Times as people read them; all UTC, and each that has an hour says so."""

from __future__ import annotations

from datetime import UTC, datetime

from limosa_contracts.json_value import JsonValue


def day(value: JsonValue) -> str:
    """The day, or "-" where there is none.

    >>> day(0.0), day(None)
    ('1970-01-01', '-')
    """
    return _format(value, "%Y-%m-%d")


def minute(value: JsonValue) -> str:
    """Day, hour and minute, or "-" where there is none.

    >>> minute(0.0)
    '1970-01-01 00:00 UTC'
    """
    return _format(value, "%Y-%m-%d %H:%M UTC")


def second(value: JsonValue) -> str:
    """As `minute`, with seconds: for what follows one upon the other.

    >>> second(0.0)
    '1970-01-01 00:00:00 UTC'
    """
    return _format(value, "%Y-%m-%d %H:%M:%S UTC")


def _format(value: JsonValue, form: str) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    return datetime.fromtimestamp(value, UTC).strftime(form)
