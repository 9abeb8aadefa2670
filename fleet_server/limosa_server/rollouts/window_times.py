"""When a window began, as far as its device can know."""

from __future__ import annotations

from typing import Final

CLOCK_SLACK_S: Final = 300.0  # a window that ends further in the future was told by a wrong clock
LATE_S: Final = 7 * 86400.0  # and one that is older than this when it comes


def began_at(started_at: float, length_s: float, received_at: float) -> float:
    """By the server's clock where the device's own cannot be right."""
    ended = started_at + length_s
    if received_at - LATE_S <= ended <= received_at + CLOCK_SLACK_S:
        return float(started_at)
    return float(received_at - length_s)
