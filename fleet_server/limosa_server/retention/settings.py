"""How long each kind of row is kept: on by default, and shown by `limosa server retention`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """Days, unless a unit is named. Audit rows, executions, decisions and cohort-hours are kept for ever."""

    windows_days: float = 35.0  # the only valid test of a fleet compares devices (telemetry 3.6)
    device_days_days: float = 90.0
    events_days: float = 90.0
    ended_rollouts_days: float = 30.0  # then their progress is forgotten, their ends stay (rollouts 3.6)
    refused_days: float = 90.0
    settle_s: float = 3600.0  # a window that was not sent again for so long is added to the tiers
    merged_at_once: int = 500  # windows of one transaction
    removed_span_s: float = 600.0  # rows of so many seconds go in one transaction
    busy_s: float = 1.0  # of one round: reports come first
    progress_per_day: int = 1000  # reports of progress that one device may have stored on one day
