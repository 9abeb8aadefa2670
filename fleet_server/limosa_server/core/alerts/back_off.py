"""When a message that was not taken is sent again. Pure."""

from __future__ import annotations

from typing import Final

PAUSES_S: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""After each attempt; the last one repeats."""
GIVE_UP_S: Final = 24 * 3600.0  # an alert that is a day late helps nobody; it still stands on the page


def next_attempt(*, attempts: int, created_at: float, now: float) -> float | None:
    """None: given up.

    >>> next_attempt(attempts=1, created_at=0.0, now=1.0), next_attempt(attempts=9, created_at=0.0, now=1.0)
    (6.0, 3601.0)
    >>> next_attempt(attempts=30, created_at=0.0, now=86400.0) is None
    True
    """
    if now - created_at >= GIVE_UP_S:
        return None
    return now + PAUSES_S[min(attempts, len(PAUSES_S)) - 1]
