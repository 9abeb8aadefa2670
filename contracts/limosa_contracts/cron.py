"""The five fields of a cron: minute, hour, day of month, month, day of week; a subset with one meaning.

Lists, ranges, steps, and names of months and days of the week. Where both days are restricted, either
will do, as in every cron since Vixie's. One that begins with * does not count as restricted, not even
`*/2`: then both must hold. What never comes (`0 0 31 2 *`) is refused.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from limosa_contracts.errors import InvalidField

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LEAP_YEAR: Final = 2024
HINT: Final = 'five fields: minute hour day-of-month month day-of-week, e.g. "0 2 * * sat,sun"'
_PART: Final = re.compile(r"(\*|[0-9a-z]{1,3})(?:-([0-9a-z]{1,3}))?(?:/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Which minutes it names. Values ascend; days of the week are 0 (Sunday) to 6."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    any_day: bool  # day of month begins with *
    any_weekday: bool  # day of week begins with *

    @classmethod
    def parse(cls, text: str, *, where: str) -> Self:
        """Raises InvalidField.

        >>> Cron.parse("*/30 1-3 * * sat,sun", where="cron").minutes
        (0, 30)
        """
        parts = text.split()
        if len(parts) != 5:
            raise InvalidField(
                f"{text[:80]!r} is not a cron", where=where, why=f"{len(parts)} fields", hint=HINT
            )
        minute, hour, day, month, weekday = (part.lower() for part in parts)
        cron = cls(
            text=" ".join(parts),
            minutes=_values(minute, 0, 59, where=where, name="minute"),
            hours=_values(hour, 0, 23, where=where, name="hour"),
            days=_values(day, 1, 31, where=where, name="day of month"),
            months=_values(month, 1, 12, where=where, name="month", words=MONTHS, first=1),
            weekdays=_weekdays(weekday, where=where),
            any_day=day.startswith("*"),
            any_weekday=weekday.startswith("*"),
        )
        if not cron._ever():
            raise InvalidField(f"{text[:80]!r} never comes", where=where, why="no month has such a day")
        return cron

    def names_day(self, day: date) -> bool:
        """Whether any minute of this day is named."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_month and by_week
        return by_month or by_week

    def _ever(self) -> bool:
        return not self.any_weekday or any(
            self.days[0] <= calendar.monthrange(LEAP_YEAR, month)[1] for month in self.months
        )


def _weekdays(text: str, *, where: str) -> tuple[int, ...]:
    """7 is Sunday too."""
    found = _values(text, 0, 7, where=where, name="day of week", words=DAYS)
    return tuple(sorted({value % 7 for value in found}))


def _values(
    text: str, low: int, high: int, *, where: str, name: str, words: tuple[str, ...] = (), first: int = 0
) -> tuple[int, ...]:
    """What one field names. Raises InvalidField."""

    def wrong(why: str) -> InvalidField:
        return InvalidField(f"{text[:40]!r} is no {name}", where=where, why=why, hint=HINT)

    def number(word: str) -> int:
        if word in words:
            return words.index(word) + first
        if not word.isascii() or not word.isdigit():
            raise wrong(f"{word!r} is not a number" + (f" or one of {', '.join(words)}" if words else ""))
        value = int(word)
        if not low <= value <= high:
            raise wrong(f"{value} is outside {low} to {high}")
        return value

    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise wrong(f"{part[:20]!r} is none of *, a, a-b, */n, a-b/n")
        start, end, step = match.groups()
        if start == "*":
            if end is not None:
                raise wrong("a range begins with a number")
            begin, last = low, high
        else:
            begin = number(start)
            last = number(end) if end is not None else begin
            if step is not None and end is None:
                raise wrong(f"a step needs a range or *: {part!r}")
        if last < begin:
            raise wrong(f"{part!r} runs backwards")
        if step is not None and int(step) == 0:
            raise wrong("a step is at least 1")
        found.update(range(begin, last + 1, int(step or 1)))
    return tuple(sorted(found))
