"""The words by which devices are filtered and ordered, for the server and for its commands."""

from __future__ import annotations

from typing import Final

from limosa_server.core.device_state import GONE, OFFLINE, ONLINE

STATES: Final = (ONLINE, OFFLINE, "unreachable", "updating", "trouble", *map(str, GONE))
SORTS: Final = ("id", "last_seen", "enrolled_at", "profile", "agent")
ORDERS: Final = ("asc", "desc")
