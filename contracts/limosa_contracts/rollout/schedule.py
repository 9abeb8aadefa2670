"""When a rollout starts, and when devices may switch (rollouts 4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from limosa_contracts.cron import Cron
from limosa_contracts.duration import format_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.maintenance_window import (
    DEVICE_ZONE,
    DURATION_MAX_S,
    DURATION_MIN_S,
    WINDOWS_MAX,
    MaintenanceWindow,
    MaintenanceWindows,
)
from limosa_contracts.rollout.reading import read_duration

EXAMPLE: Final = "2026-12-01T02:00:00Z"
LATEST: Final = 4102444800.0  # the year 2100: what is later is a mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    start: float | None = None  # Unix seconds; None: as soon as it may
    windows: MaintenanceWindows | None = None  # None: at any time

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        start = fields.maybe("start", lambda n: _moment(fields, n))
        nothing: tuple[MaintenanceWindow, ...] = ()
        windows = fields.optional(
            "maintenance_windows",
            lambda n: tuple(_window(item, place) for place, item in fields.items(n, max_items=WINDOWS_MAX)),
            nothing,
        )
        outside = fields.optional("download_outside_window", fields.boolean, True)
        if fields.has("download_outside_window") and not windows:
            raise fields.wrong("download_outside_window", "there is no window in maintenance_windows")
        fields.refuse_rest()
        return cls(
            start=start,
            windows=MaintenanceWindows(windows=windows, download_outside=outside) if windows else None,
        )

    def as_json(self) -> dict[str, JsonValue]:
        result: dict[str, JsonValue] = {}
        if self.start is not None:
            result["start"] = format_moment(self.start)
        if self.windows is not None:
            result["maintenance_windows"] = [
                {
                    "cron": window.cron.text,
                    "duration": format_duration(window.duration_s),
                    "tz": window.tz,
                }
                for window in self.windows.windows
            ]
            result["download_outside_window"] = self.windows.download_outside
        return result


def format_moment(at: float) -> str:
    """RFC 3339 in UTC.

    >>> format_moment(1796090400.0), format_moment(0.25)
    ('2026-12-01T02:00:00Z', '1970-01-01T00:00:00.250000Z')
    """
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _moment(fields: Fields, name: str) -> float:
    text = fields.text(name, max_chars=40)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise fields.wrong(name, f"{text!r} is not a time such as {EXAMPLE}") from error
    if moment.tzinfo is None:
        raise fields.wrong(name, f"{text!r} does not say in which time zone: {EXAMPLE} is UTC")
    try:
        at = moment.timestamp()
    except (OverflowError, ValueError) as error:
        raise fields.wrong(name, f"{text!r} is out of range") from error
    if not 0 <= at <= LATEST:
        raise fields.wrong(name, f"{text!r} is before 1970 or after 2100")
    return at


def _window(value: JsonValue, where: str) -> MaintenanceWindow:
    fields = Fields(value, where=where)
    duration = read_duration(fields, at_least=DURATION_MIN_S)("duration")
    if duration > DURATION_MAX_S:
        raise InvalidField(
            "a maintenance window is too long",
            where=fields.at("duration"),
            why=f"at most {format_duration(DURATION_MAX_S)}",
        )
    window = MaintenanceWindow(
        cron=Cron.parse(fields.text("cron", max_chars=256), where=fields.at("cron")),
        duration_s=duration,
        tz=fields.optional("tz", lambda n: fields.text(n, max_chars=64), DEVICE_ZONE),
    )
    fields.refuse_rest()
    return window
