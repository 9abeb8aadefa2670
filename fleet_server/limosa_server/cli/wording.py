"""Numbers of an answer, as people read them."""

from __future__ import annotations

from limosa_contracts.json_value import JsonValue
from limosa_server.core.wording import devices


def so_many(count: JsonValue) -> str:
    """
    >>> so_many(1), so_many(6)
    ('1 device', '6 devices')
    """
    return devices(count) if isinstance(count, int) else f"{count} devices"
