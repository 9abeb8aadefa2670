"""Whether a device belongs to the fleet, and the one word for how it stands (trust 6.1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class DeviceState(StrEnum):
    ACTIVE = "active"
    """It is of the fleet, whether its link is up or not."""
    REVOKED = "revoked"
    """Shut out; a token lets it in again, and its groups and what it shall run stay for then."""
    DECOMMISSIONED = "decommissioned"
    """For good: it is in no group, and nothing is assigned to it."""


ONLINE: Final = "online"
OFFLINE: Final = "offline"
GONE: Final = (DeviceState.REVOKED, DeviceState.DECOMMISSIONED)


def standing(state: str, online: bool) -> str:
    """As lists, pages and counters say it: its link while it is of the fleet, else how it left.

    >>> standing("active", True), standing("revoked", True)
    ('online', 'revoked')
    """
    if state != DeviceState.ACTIVE:
        return str(state)
    return ONLINE if online else OFFLINE


def none_standing() -> dict[str, int]:
    """Zero for each of its words, to count on."""
    return dict.fromkeys((ONLINE, OFFLINE, *map(str, GONE)), 0)
