"""Windows against a brute force that walks through every minute of real time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_contracts.cron import DAYS, MONTHS, Cron
from limosa_contracts.errors import InvalidField
from limosa_contracts.maintenance_window import (
    DEVICE_ZONE,
    MaintenanceWindow,
    MaintenanceWindows,
)
from tests.support.golden import golden, golden_bytes

BERLIN, APIA, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"), ZoneInfo("Australia/Lord_Howe")
CHANGES = [
    (BERLIN, datetime(2026, 3, 29, 1, tzinfo=UTC)),
    (BERLIN, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (APIA, datetime(2011, 12, 30, 10, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 4, 4, 15, tzinfo=UTC)),
    (LORD_HOWE, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    (timezone(timedelta(hours=-7)), datetime(2028, 2, 29, 3, tzinfo=UTC)),
]


def window(cron: str, duration_s: float, tz: str = DEVICE_ZONE) -> MaintenanceWindow:
    return MaintenanceWindow.parse({"cron": cron, "duration_s": duration_s, "tz": tz}, where="window")


def at(text: str, zone: tzinfo = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def one_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda p: f"{p[0]}-{p[1]}")
    step = st.tuples(span | st.just("*"), st.integers(1, 30)).map(lambda p: f"{p[0]}/{p[1]}")
    part = number.map(str) | span | step
    return st.just("*") | st.lists(part, min_size=1, max_size=3).map(",".join)


crons = st.tuples(
    one_field(0, 59), one_field(0, 23), one_field(1, 28), one_field(1, 12), one_field(0, 7)
).map(" ".join)


def named(cron: str, wall: datetime) -> bool:
    """Whether a cron names this reading of a wall clock; written without looking at the other."""

    def holds(text: str, value: int, low: int, high: int) -> bool:
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            begin, end = (low, high) if span == "*" else (int(first), int(last or first))
            if begin <= value <= end and (value - begin) % int(step or 1) == 0:
                return True
        return False

    minute, hour, day, month, week = cron.split()
    weekday = wall.isoweekday() % 7
    in_month = holds(day, wall.day, 1, 31)
    in_week = holds(week, weekday, 0, 7) or (weekday == 0 and holds(week, 7, 0, 7))
    days = in_month and in_week if "*" in (day[0], week[0]) else in_month or in_week
    return (
        holds(minute, wall.minute, 0, 59)
        and holds(hour, wall.hour, 0, 23)
        and holds(month, wall.month, 1, 12)
    ) and days


@settings(deadline=None, max_examples=30)
@given(
    crons, st.integers(1, 40).map(lambda n: 60.0 * n * n), st.sampled_from(CHANGES), st.integers(-3000, 3000)
)
def test_window_is_open_as_walking_through_every_minute_says(
    cron: str, duration_s: float, change: tuple[tzinfo, datetime], offset_min: int
) -> None:
    zone, around = change
    when = around.timestamp() + 60.0 * offset_min
    starts: list[float] = []
    begin = int(when - duration_s) // 60 * 60 - 86400
    before: datetime | None = None
    for instant in range(begin, int(when) + 1, 60):  # what the wall clock shows from minute to minute
        wall = datetime.fromtimestamp(instant, zone).replace(tzinfo=None)
        skipped = before is not None and wall > before + timedelta(minutes=1)
        if skipped and before is not None:
            gap = wall - before - timedelta(minutes=1)
            missing = before + timedelta(minutes=1)
            while missing < wall:  # a reading that is left out comes as late as the clock was put on
                if named(cron, missing):
                    starts.append(instant + (missing - (wall - gap)).total_seconds())
                missing += timedelta(minutes=1)
        if named(cron, wall):
            starts.append(float(instant))
        before = wall
    expected = any(start <= when < start + duration_s for start in starts)
    assert window(cron, duration_s).is_open(when, zone) == expected


@settings(deadline=None, max_examples=30)
@given(crons, st.sampled_from(CHANGES), st.integers(-3000, 3000))
def test_next_opening_is_open_and_nothing_opens_before(
    cron: str, change: tuple[tzinfo, datetime], offset_min: int
) -> None:
    zone, around = change
    after = around.timestamp() + 60.0 * offset_min
    one = window(cron, 60.0)
    found = one.next_start(after, zone)
    assert found > after
    assert one.is_open(found, zone)
    for minute in (1, 2, 3, 29, 30, 31, 59, 60, 61, 119, 120, 599):
        assert not one.is_open(found - 60.0 * minute, zone) or found - 60.0 * minute <= after


def test_night_in_which_the_hour_is_left_out_still_has_its_window() -> None:
    nightly = window("30 2 * * *", 3600)
    assert nightly.next_start(at("2026-03-28T12:00", BERLIN), BERLIN) == at("2026-03-29T03:30", BERLIN)


def test_hour_that_comes_twice_opens_its_window_twice() -> None:
    nightly = window("30 2 * * *", 600)
    first = nightly.next_start(at("2026-10-25T00:00", BERLIN), BERLIN)
    assert nightly.next_start(first, BERLIN) == first + 3600


def test_long_window_goes_on_over_midnight_and_month() -> None:
    weekend = window("0 22 * * fri", 2 * 86400)
    assert weekend.is_open(at("2026-11-01T21:59"), UTC)
    assert not weekend.is_open(at("2026-11-01T22:00"), UTC)


def test_leap_day_comes_again_and_day_that_never_comes_is_refused() -> None:
    leap = window("0 0 29 feb *", 60)
    assert leap.next_start(at("2096-03-01T00:00"), UTC) == at("2104-02-29T00:00")
    with pytest.raises(InvalidField, match="never comes"):
        window("0 0 31 2,4 *", 60)


def test_days_are_either_where_both_are_restricted() -> None:
    either = Cron.parse("0 0 13 * fri", where="cron")
    assert either.names_day(date(2026, 11, 13))
    assert either.names_day(date(2026, 11, 20))
    assert either.names_day(date(2026, 12, 13))
    assert not either.names_day(date(2026, 12, 14))


def test_day_that_begins_with_a_star_adds_no_other_days() -> None:
    """`0 2 */1 * sat` is Saturdays in every cron, and was every night: devices switched on weekdays."""
    saturdays = Cron.parse("0 2 */1 * sat", where="cron")
    month = [date(2026, 11, day) for day in range(1, 31)]
    assert [day.day for day in month if saturdays.names_day(day)] == [7, 14, 21, 28]
    odd = Cron.parse("0 2 */2 * sat", where="cron")
    assert [day.day for day in month if odd.names_day(day)] == [7, 21]
    weekend = Cron.parse("0 2 1-7 * */6", where="cron")
    assert [day.day for day in month if weekend.names_day(day)] == [1, 7]


def test_leap_day_on_a_sunday_is_waited_for() -> None:
    """The rarest that comes: over 2100 there are forty years between two."""
    rare = window("0 0 29 2 */7", 60)
    assert rare.next_start(at("2088-03-01T00:00"), UTC) == at("2128-02-29T00:00")


def test_clock_that_is_put_back_over_midnight_opens_no_window_late() -> None:
    """In St. John's 00:01 became 23:01 of the day before: midnight came, then half past eleven again."""
    newfoundland = ZoneInfo("America/St_Johns")
    nightly = window("0,30 0,23 * * *", 60)
    first = at("2010-11-06T23:30", newfoundland)
    starts = [first]
    for _ in range(3):
        starts.append(nightly.next_start(starts[-1], newfoundland))
    assert [start - first for start in starts] == [0.0, 1800.0, 3600.0, 5400.0]


@given(st.sampled_from(range(12)), st.sampled_from(range(7)))
def test_names_stand_for_numbers(month: int, day: int) -> None:
    words = Cron.parse(f"0 0 * {MONTHS[month].upper()} {DAYS[day]}", where="cron")
    numbers = Cron.parse(f"0 0 * {month + 1} {day}", where="cron")
    assert (words.months, words.weekdays) == (numbers.months, numbers.weekdays)


@pytest.mark.parametrize("cron, says", [
    ("", "fields"), ("* * * *", "4 fields"), ("* * * * * *", "6 fields"), ("60 * * * *", "outside 0 to 59"),
    ("* 24 * * *", "outside 0 to 23"), ("* * 0 * *", "outside 1 to 31"), ("* * * 13 *", "outside 1 to 12"),
    ("* * * * 8", "outside 0 to 7"), ("5-1 * * * *", "backwards"), ("*/0 * * * *", "at least 1"),
    ("1/5 * * * *", "needs a range"), ("x * * * *", "not a number"), ("1,,2 * * * *", "none of"),
    ("-1 * * * *", "none of"), ("* * * sun *", "not a number"), ("*-5 * * * *", "begins with a number"),
    ("@daily", "fields"), ("٣ * * * *", "none of"),
])  # fmt: skip
def test_cron_that_makes_no_sense_is_refused_with_what_is_wrong(cron: str, says: str) -> None:
    with pytest.raises(InvalidField) as caught:
        Cron.parse(cron, where="window.open[0].cron")
    assert says in str(caught.value.why)
    assert caught.value.where == "window.open[0].cron"


@given(st.text(max_size=40))
def test_any_text_is_a_cron_or_an_invalid_field(text: str) -> None:
    try:
        found = Cron.parse(text, where="cron")
    except InvalidField:
        return
    assert Cron.parse(found.text, where="cron") == found


@pytest.mark.parametrize("changed, where", [
    ({"open": []}, "window.open"), ({"open": {}}, "window.open"),
    ({"open": [{"cron": "* * * * *"}]}, "window.open[0].duration_s"),
    ({"open": [{"cron": "* * * * *", "duration_s": 59}]}, "window.open[0].duration_s"),
    ({"open": [{"cron": "* * * * *", "duration_s": 8 * 86400}]}, "window.open[0].duration_s"),
    ({"open": [{"cron": "x", "duration_s": 60}]}, "window.open[0].cron"),
    ({"open": [{"cron": "* * * * *", "duration_s": 60, "timezone": "UTC"}]}, "window.open[0].timezone"),
    ({"from": "01:00", "to": "05:00"}, "window.open"),
])  # fmt: skip
def test_window_that_makes_no_sense_is_refused_at_its_place(changed: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidField) as caught:
        MaintenanceWindows.parse(changed)  # type: ignore[arg-type]  # what a server may send
    assert caught.value.where == where


def test_zone_that_the_device_does_not_know_never_opens_and_is_named() -> None:
    both = MaintenanceWindows.parse(
        {"open": [
            {"cron": "* * * * *", "duration_s": 60, "tz": "Mars/Olympus"},
            {"cron": "0 0 1 1 *", "duration_s": 60, "tz": "UTC"},
        ]}
    )  # fmt: skip

    def zones(name: str) -> tzinfo | None:
        return UTC if name == "UTC" else None

    assert both.unknown_zones(zones) == ("Mars/Olympus",)
    assert not both.is_open(at("2026-06-01T00:00"), zones)
    assert both.next_start(at("2026-06-01T00:00"), zones) == at("2027-01-01T00:00")
    assert MaintenanceWindows(windows=both.windows[:1]).next_start(0.0, zones) is None


def test_golden_windows_are_read_and_written_as_they_were() -> None:
    from limosa_contracts.canonical import encode_canonical

    found = MaintenanceWindows.parse(golden("maintenance_window-1"))
    assert [one.tz for one in found.windows] == ["device", "Europe/Berlin"]
    assert not found.download_outside
    assert encode_canonical(found.as_json()) == golden_bytes("maintenance_window-1")


class Counting(tzinfo):
    """UTC, and how often a clock of it was looked at."""

    looks = 0

    def utcoffset(self, at: datetime | None) -> timedelta:
        self.looks += 1
        return timedelta(0)

    dst = utcoffset

    def tzname(self, at: datetime | None) -> str:
        return "counted"


@pytest.mark.parametrize("cron", ["*/2 * * * *", "1-59/2 * * * *", "* * 29 2 *", "* * * * mon"])
def test_cron_that_names_many_minutes_is_not_worth_a_supervisors_time(cron: str) -> None:
    """A document may have 16 of them for each of 32 models."""
    for when in ("2026-06-02T12:00:30", "2026-06-02T12:01:30"):
        zone = Counting()
        window(cron, 60.0).is_open(at(when), zone)
        window(cron, 60.0).next_start(at(when), zone)
        assert zone.looks < 3000
