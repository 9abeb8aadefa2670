"""A plot's frame: where a value lies, grid lines, labels that do not cover each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limosa_compiler.report.markup import Markup, tag
from limosa_compiler.report.numbers import ticks

CHAR_WIDTH = 7.0  # of the plot's font, generously
LINE_HEIGHT = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values from `low` to `high` onto `begin` to `end`, in user units."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.begin + share * (self.end - self.begin)


def grid_x(scale: Scale, *, top: float, bottom: float, label: Callable[[float], str]) -> list[Markup]:
    """Vertical lines at round values, labelled below."""
    drawn: list[Markup] = []
    for value in ticks(scale.low, scale.high, about=4):
        x = scale(value)
        drawn.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        drawn.append(
            tag("text", label(value), x=x, y=bottom + LINE_HEIGHT + 2, text_anchor="middle", class_="soft")
        )
    return drawn


def grid_y(scale: Scale, *, left: float, right: float, label: Callable[[float], str]) -> list[Markup]:
    """Horizontal lines at round values, labelled on the left."""
    drawn: list[Markup] = []
    for value in ticks(scale.low, scale.high):
        y = scale(value)
        drawn.append(tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid"))
        drawn.append(tag("text", label(value), x=left - 6, y=y + 4, text_anchor="end", class_="soft"))
    return drawn


def label_places(
    points: Sequence[tuple[float, float]], labels: Sequence[str], *, right: float, top: float, bottom: float
) -> list[tuple[float, float, str] | None]:
    """(x, y, anchor) per label: beside its point, moved up or down until it covers no other label.

    The first have the first choice; None where there is no room, the table names that point.
    """
    taken: list[tuple[float, float, float]] = []
    places: list[tuple[float, float, str] | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        width = CHAR_WIDTH * len(label)
        to_left = x + 12 + width > right
        begin = x - 12 - width if to_left else x + 12
        at = _free(taken, begin, begin + width, y, top=top, bottom=bottom)
        if at is None:
            places.append(None)
            continue
        taken.append((begin, begin + width, at))
        places.append((x - 12 if to_left else x + 12, at + 4, "end" if to_left else "start"))
    return places


def _free(
    taken: Sequence[tuple[float, float, float]],
    begin: float,
    end: float,
    y: float,
    *,
    top: float,
    bottom: float,
) -> float | None:
    for shift in (0, -LINE_HEIGHT, LINE_HEIGHT):
        at = y + shift
        covers = any(begin < e and end > b and abs(at - line) < LINE_HEIGHT for b, e, line in taken)
        if top <= at <= bottom and not covers:
            return at
    return None


def drawing(name: str, title: str, *shapes: Markup, width: float, height: float) -> Markup:
    """An SVG that a screen reader calls by its title; the numbers stand in a table beside it."""
    return tag(
        "svg",
        tag("title", title, id=name),
        *shapes,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_labelledby=name,
    )
