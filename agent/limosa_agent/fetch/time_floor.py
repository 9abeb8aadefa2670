"""What time it is at least, for a device whose clock may be at 1970 (trust 3.3). Pure."""

from __future__ import annotations

from typing import Final

BUILD_TIME: Final = 1_767_225_600
"""2026-01-01: no metadata that this agent can meet was signed before (Unix seconds)."""
BEHIND_S: Final = 86400
"""A clock without a battery may be so far behind the floor, and is set soon."""
FAR_AHEAD_S: Final = 5 * 365 * 86400
"""A clock that is further ahead of the floor than any device stays unused is not believed in reports."""


def reference_time(*, clock: float, floor: float) -> float:
    """The time against which expiry is judged, Unix seconds.

    >>> reference_time(clock=0.0, floor=1_800_000_000.0)
    1800000000.0
    """
    return max(clock, floor, float(BUILD_TIME))


def next_floor(*, reference: float, floor: float, refreshed: bool) -> float:
    """The floor to store. Only a refresh that succeeded raises it: it proves that the reference time
    lies before the expiry of a timestamp, so a clock at 2100 never becomes the floor."""
    return max(floor, reference) if refreshed else max(floor, float(BUILD_TIME))


def clock_suspect(*, clock: float, floor: float) -> bool:
    """Whether the clock itself should be reported as wrong.

    >>> clock_suspect(clock=4_102_444_800.0, floor=1_800_000_000.0)
    True
    """
    return not floor - BEHIND_S <= clock <= max(floor, BUILD_TIME) + FAR_AHEAD_S


def clock_state(*, clock: float, floor: float, synchronised: bool) -> str:
    """What reports say of this device's clock (telemetry 3.1): none, rtc or ntp.

    >>> clock_state(clock=0.0, floor=1_800_000_000.0, synchronised=True)
    'none'
    >>> clock_state(clock=1_800_000_000.0, floor=1_800_000_000.0, synchronised=True)
    'ntp'
    """
    if clock_suspect(clock=clock, floor=floor):
        return "none"
    return "ntp" if synchronised else "rtc"
