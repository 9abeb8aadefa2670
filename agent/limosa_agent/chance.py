"""Chance from the system: `random` and `secrets` would keep 0.25 MB of the supervisor (agent 1)."""

from __future__ import annotations

import os
from typing import Final

_BITS: Final = 53  # as many as a float holds


def share() -> float:
    """0 to 1, never 1 itself; each of 2**53 numbers is as likely."""
    return drawn_bits(_BITS) / float(1 << _BITS)


def between(low: float, high: float) -> float:
    return low + (high - low) * share()


def drawn_bits(count: int) -> int:
    """0 to 2**count - 1, fit for secrets."""
    whole = (count + 7) // 8
    return int.from_bytes(os.urandom(whole), "big") >> (8 * whole - count)
