"""The words by which devices are filtered and ordered, for the server and for its commands."""

from __future__ import annotations

from typing import Final

GONE: Final = ("revoked", "decommissioned")
STATES: Final = ("online", "offline", "unreachable", "updating", "trouble", *GONE)
SORTS: Final = ("id", "last_seen", "enrolled_at", "profile", "agent")
ORDERS: Final = ("asc", "desc")
