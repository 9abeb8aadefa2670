"""The number of a connection, in presence and last wills (server 3.1). Pure."""

from __future__ import annotations

from typing import Final

from limosa_contracts.json_value import JsonValue

STEP: Final = 1 << 20  # connections of one start of the agent
STARTS: Final = 1 << 12  # of one second of `enrolled_at`; more only reach into the seconds after it
SECONDS_MAX: Final = 2**31  # Unix seconds: the number then still fits into 63 bits


def connection_number(*, enrolled_at: JsonValue, boots: int, connections: int) -> int:
    """Higher with each connection and each start, and with each hardware that bears the device's name:
    a will of the old one that comes late is older than all that the new one says.

    `enrolled_at`: Unix seconds as the server told it; anything else is taken for 0.

    >>> old = connection_number(enrolled_at=1_700_000_000, boots=40, connections=9)
    >>> old < connection_number(enrolled_at=1_700_000_001, boots=1, connections=1)
    True
    """
    since = enrolled_at if isinstance(enrolled_at, int) and 0 <= enrolled_at < SECONDS_MAX else 0
    return (since * STARTS + boots) * STEP + connections
