"""Maintenance windows: when a device may switch, judged on the device (rollouts 4, agent 2.3).

On the wire it is one object, so that a reader of the first versions still reads the document around it:
`{"open": [{"cron": "0 2 * * sat,sun", "duration_s": 7200, "tz": "device"}], "download_outside": true}`.
A window opens at each local minute that its cron names and stays open for `duration_s` of real time.
Time zones come in as values: what a name means is on the device's disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Self, TypeAlias

from limosa_contracts.cron import Cron
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

DEVICE_ZONE: Final = "device"  # the time zone that the device itself is set to
WINDOWS_MAX: Final = 16  # of one model
DURATION_MIN_S: Final = 60.0  # a cron names minutes
DURATION_MAX_S: Final = 7 * 86400.0
LOOK_AHEAD_DAYS: Final = 366 * 40 + 2  # a 29th of February that is a Sunday comes again within 40 years
SLACK: Final = timedelta(hours=26)  # no wall clock was ever put on or back by more (Samoa skipped a day)

Zones: TypeAlias = Callable[[str], tzinfo | None]
"""The time zone of a name; None where the device does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """One cron with its length and zone: `device`, or a name such as `Europe/Berlin`."""

    cron: Cron
    duration_s: float
    tz: str = DEVICE_ZONE

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField; unknown keys are refused, for a person wrote them."""
        fields = Fields(value, where=where)
        window = cls(
            cron=Cron.parse(fields.text("cron", max_chars=256), where=fields.at("cron")),
            duration_s=fields.number("duration_s", low=DURATION_MIN_S, high=DURATION_MAX_S),
            tz=fields.optional("tz", lambda n: fields.text(n, max_chars=64), DEVICE_ZONE),
        )
        fields.refuse_rest()
        return window

    def as_json(self) -> dict[str, JsonValue]:
        return {"cron": self.cron.text, "duration_s": self.duration_s, "tz": self.tz}

    def is_open(self, at: float, zone: tzinfo) -> bool:
        """Whether it is open at `at`, Unix seconds."""
        return any(start <= at < start + self.duration_s for start in self._starts_before(at, zone))

    def next_start(self, after: float, zone: tzinfo) -> float:
        """The first opening later than `after`, Unix seconds. Every cron that parses has one."""
        day = (datetime.fromtimestamp(after, UTC).replace(tzinfo=None) - SLACK).date()
        first: float | None = None
        for _ in range(LOOK_AHEAD_DAYS):
            found = self._first_on(day, after, zone) if self.cron.names_day(day) else None
            if first is not None:  # the day before had one: a clock put back may make this one's earlier
                return first if found is None else min(first, found)
            first = found
            day += timedelta(days=1)
        raise InvalidField("a cron that never comes was let in", where="window.cron", why=self.cron.text)

    def _first_on(self, day: date, after: float, zone: tzinfo) -> float | None:
        """The first opening later than `after` that a wall clock names on this day."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        offsets = _offsets(midnight, midnight + 2 * SLACK.total_seconds(), zone)
        first: float | None = None
        for wall in reversed(tuple(self._readings_on(day))):
            reading = wall.replace(tzinfo=UTC).timestamp()
            if first is not None and reading - max(offsets).total_seconds() >= first:
                break
            if reading - min(offsets).total_seconds() > after:
                later = [start for start in _instants(wall, zone) if start > after]
                first = min([*later, *([] if first is None else [first])], default=None)
        return first

    def _starts_before(self, at: float, zone: tzinfo) -> Iterator[float]:
        """Openings that could still last at `at`, the latest day first."""
        offsets = _offsets(at - self.duration_s, at, zone)
        now = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
        earliest, latest = now - timedelta(seconds=self.duration_s) + min(offsets), now + max(offsets)
        day = latest.date()
        while day >= earliest.date():
            for wall in self._readings_on(day):
                if earliest <= wall <= latest:
                    yield from _instants(wall, zone)
            day -= timedelta(days=1)

    def _readings_on(self, day: date) -> Iterator[datetime]:
        """What a wall clock shows at each opening of a day, the latest first."""
        if self.cron.names_day(day):
            for hour in reversed(self.cron.hours):
                for minute in reversed(self.cron.minutes):
                    yield datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  a reading has no zone yet


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindows:
    """All windows of one model: it may be switched while any of them is open."""

    windows: tuple[MaintenanceWindow, ...]
    download_outside: bool = True  # False: downloads wait for a window too
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue, *, where: str = "window") -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        windows = tuple(
            MaintenanceWindow.parse(item, where=place)
            for place, item in fields.items("open", max_items=WINDOWS_MAX)
        )
        if not windows:
            raise InvalidField("at least one window is needed", where=fields.at("open"))
        return cls(
            windows=windows,
            download_outside=fields.optional("download_outside", fields.boolean, True),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            **self.extra,
            "open": [window.as_json() for window in self.windows],
            "download_outside": self.download_outside,
        }

    def unknown_zones(self, zones: Zones) -> tuple[str, ...]:
        """Names that this device has no time zone for; their windows never open."""
        return tuple(sorted({window.tz for window in self.windows if zones(window.tz) is None}))

    def is_open(self, at: float, zones: Zones) -> bool:
        """Whether any window is open at `at`, Unix seconds."""
        known = ((window, zones(window.tz)) for window in self.windows)
        return any(zone is not None and window.is_open(at, zone) for window, zone in known)

    def next_start(self, after: float, zones: Zones) -> float | None:
        """The next opening after `after`, Unix seconds; None where no zone is known."""
        known = ((window, zones(window.tz)) for window in self.windows)
        return min(
            (window.next_start(after, zone) for window, zone in known if zone is not None), default=None
        )


def _offsets(begin: float, end: float, zone: tzinfo) -> set[timedelta]:
    """What wall clocks of the zone are ahead of UTC from SLACK before `begin` until `end`: a reading that
    is skipped counts by the clock before. No zone changes twice within an hour."""
    hours = range(int((begin - SLACK.total_seconds()) // 3600), int(end // 3600) + 2)
    return {
        datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).utcoffset() or timedelta(0)
        for hour in hours
    }


def _instants(wall: datetime, zone: tzinfo) -> Iterator[float]:
    """When a wall clock shows `wall`: once; twice where the clock is put back over it.

    A reading that the clock skips counts as the moment at which it would have come: 02:30 of the night
    in which 02:00 becomes 03:00 is 03:30. So a nightly window is not lost for that night.
    """
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    yield first.timestamp()
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if second != first and second.astimezone(zone).replace(tzinfo=None) == wall:
        yield second.timestamp()
