"""May this model be switched now, and may it be downloaded: holds, locks and windows as one answer. Pure.

A clock that is not to be trusted keeps every window closed (trust 3.3): at 1970 each would be open, or
shut, for ever. What is begun already goes on: a probation ends and a fall-back happens without a clock
(agent 4.4), and a release without a window is not held by any clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from limosa_agent.store.holds import EVERYTHING, Hold
from limosa_contracts.errors import InvalidField
from limosa_contracts.event import Reason
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from limosa_contracts.maintenance_window import Zones


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Why not, for each; None where nothing holds it back."""

    switch: Reason | None = None
    download: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowState:
    """What a model's windows say at this moment."""

    open: bool
    next_start: float | None  # Unix seconds
    download_outside: bool
    unknown_zones: tuple[str, ...] = ()


OPEN: Final = Gate()
KEPT: Final = Gate(
    switch=Reason(code="not_removable", message="this device keeps its models: [update] removable")
)


def gate(
    model: str,
    *,
    holds: Sequence[Hold],
    locks: Sequence[str],
    windows: WindowState | None,
    clock_trusted: bool,
) -> Gate:
    """`locks`: names of locked files; `windows` is None where the release has none."""
    closed = _window_reason(windows, clock_trusted=clock_trusted)
    held = _hold_reason(model, holds) or _lock_reason(locks) or closed
    waits = closed if windows is not None and not windows.download_outside else None
    return Gate(switch=held, download=waits)


def window_state(window: JsonObject, *, now: float, zones: Zones) -> WindowState | None:
    """None for what cannot be read: the update machine refuses it by itself."""
    from limosa_contracts.maintenance_window import MaintenanceWindows  # 0.2 MB that most devices never need

    try:
        found = MaintenanceWindows.parse(window)
    except InvalidField:
        return None
    is_open = found.is_open(now, zones)
    return WindowState(
        open=is_open,
        next_start=None if is_open else found.next_start(now, zones),
        download_outside=found.download_outside,
        unknown_zones=found.unknown_zones(zones),
    )


def _hold_reason(model: str, holds: Sequence[Hold]) -> Reason | None:
    for hold in holds:
        if hold.covers(model):
            what = "every update" if hold.scope == EVERYTHING else "this model"
            why = f": {hold.reason}" if hold.reason else ""
            until = f" until {_utc(hold.until)}" if hold.until is not None else " until it is released"
            evidence: dict[str, JsonValue] = {"scope": hold.scope, "until": hold.until}
            return Reason(code="hold", message=f"an operator holds {what}{until}{why}", evidence=evidence)
    return None


def _lock_reason(locks: Sequence[str]) -> Reason | None:
    if not locks:
        return None
    names = ", ".join(locks)
    return Reason(
        code="update_lock",
        message=f"an application holds updates: {names}"[:500],
        evidence={"lock": locks[0]},
    )


def _window_reason(windows: WindowState | None, *, clock_trusted: bool) -> Reason | None:
    if windows is None:
        return None
    if not clock_trusted:
        return Reason(
            code="clock_suspect", message="no maintenance window opens while the clock cannot be right"
        )
    if windows.open:
        return None
    if windows.next_start is None:
        return Reason(
            code="unknown_timezone",
            message=f"this device has no time zone {', '.join(windows.unknown_zones)}",
            evidence={"zones": list(windows.unknown_zones)},
        )
    return Reason(
        code="outside_window",
        message=f"the next maintenance window opens at {_utc(windows.next_start)}",
        evidence={"opens_at": windows.next_start},
    )


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
