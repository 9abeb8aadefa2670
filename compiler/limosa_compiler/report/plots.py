"""The report's plots, as pure functions from numbers to SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_compiler.report.axes import CHAR_WIDTH, Scale, drawing, grid_x, grid_y, label_places
from limosa_compiler.report.markup import Markup, tag
from limosa_compiler.report.numbers import short, signed, size

WIDTH: Final = 620.0
HEIGHT: Final = 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 600.0, 18.0, 318.0
BAR: Final = 22.0
NAME_CHARS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A candidate in the plot of size against points. `kind`: chosen, passes, gate or not."""

    name: str
    kind: str
    bytes: int
    points: float  # against fp32, on tune rows
    at_least: float | None  # the bound that the gate asks of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False


def pareto(points: Sequence[Point], *, gate: float | None) -> Markup:
    """Size to the right, points against fp32 upwards; a whisker reaches down to the bound.

    `gate`: points that the bound must not be below. The line joins what passes and is not dominated.
    """
    low = [point.points if point.at_least is None else point.at_least for point in points]
    values = [*low, *(point.points for point in points), 0.0, *([] if gate is None else [gate])]
    room = max((max(values) - min(values)) * 0.08, 0.2)
    x = Scale(low=0.0, high=max(point.bytes for point in points) * 1.12, begin=LEFT, end=RIGHT)
    y = Scale(low=min(values) - room, high=max(values) + room, begin=BOTTOM, end=TOP)
    shapes = [
        *grid_x(x, top=TOP, bottom=BOTTOM, label=size),
        *grid_y(y, left=LEFT, right=RIGHT, label=lambda value: signed(value, 1)),
        tag("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis"),
        tag("text", "size of the model", x=RIGHT, y=BOTTOM + 36, text_anchor="end"),
        tag("text", "points against fp32", x=LEFT + 6, y=TOP + 8),
    ]
    if gate is not None:
        shapes += [
            tag("line", x1=LEFT, x2=RIGHT, y1=y(gate), y2=y(gate), class_="gate"),
            tag("text", "gate", x=RIGHT - 2, y=y(gate) - 5, text_anchor="end", class_="gatetext"),
        ]
    front = _front(points)
    if len(front) > 1:
        path = " ".join(f"{x(one.bytes):.1f},{y(one.points):.1f}" for one in front)
        shapes.append(tag("polyline", points=path, class_="front"))
    shapes += [_whisker(point, x, y) for point in points if point.at_least is not None]
    # The chosen one is drawn last, over those at the same place, and its name is placed first.
    ranked = sorted(points, key=lambda one: (one.kind != "chosen", one.name != "fp32"))
    shapes += [_mark(one.kind, x(one.bytes), y(one.points), one.name) for one in reversed(ranked)]
    places = label_places(
        [(x(point.bytes), y(point.points)) for point in ranked],
        [_cut(point.name) for point in ranked],
        right=RIGHT,
        top=TOP + 4,
        bottom=BOTTOM - 4,
    )
    for point, place in zip(ranked, places, strict=True):
        if place is not None:
            shapes.append(tag("text", _cut(point.name), x=place[0], y=place[1], text_anchor=place[2]))
    return drawing("plot-pareto", "Candidates: size against metric", *shapes, width=WIDTH, height=HEIGHT)


def bars(name: str, title: str, items: Sequence[Bar], *, unit: str) -> Markup:
    """One horizontal bar per item, with its interval where it has one. Marked ones say so in the label."""
    ends = [0.0]
    for item in items:
        ends += [item.value, *(end for end in (item.low, item.high) if end is not None)]
    left = 24.0 + CHAR_WIDTH * max(len(_cut(item.name)) for item in items)
    bottom = TOP + BAR * len(items)
    x = Scale(low=min(ends), high=max(*ends, min(ends) + 1e-9), begin=left, end=RIGHT - 8)
    shapes = grid_x(x, top=TOP, bottom=bottom, label=short)
    for line, item in enumerate(items):
        at = TOP + BAR * line + 4
        begin, end = sorted((x(0.0), x(item.value)))
        kind = "bar2" if item.marked else "bar"
        shapes.append(tag("text", _cut(item.name), x=left - 8, y=at + 11, text_anchor="end"))
        shapes.append(
            tag("rect", x=begin, y=at, width=max(end - begin, 1.0), height=BAR - 8, class_=kind, rx=2)
        )
        if item.low is not None and item.high is not None:
            middle = at + (BAR - 8) / 2
            shapes.append(
                tag("line", x1=x(item.low), x2=x(item.high), y1=middle, y2=middle, class_="whisker")
            )
    shapes.append(tag("text", unit, x=RIGHT - 8, y=bottom + 34, text_anchor="end", class_="soft"))
    return drawing(name, title, *shapes, width=WIDTH, height=bottom + 42)


def span(low: float, high: float, kept_low: float, kept_high: float) -> Markup:
    """A small bar: the whole range, and in it what is kept. Its numbers stand in the same row."""
    x = Scale(low=low, high=high, begin=0.0, end=120.0)
    begin, end = x(kept_low), x(kept_high)
    return tag(
        "svg",
        tag("rect", x=0, y=3, width=120, height=8, class_="faint"),
        tag("rect", x=begin, y=1, width=max(end - begin, 1.0), height=12, class_="bar", rx=2),
        viewBox="0 0 120 14",
        class_="mini",
        aria_hidden="true",
    )


def legend_mark(kind: str) -> Markup:
    """The mark of a kind of point, beside its word."""
    return tag(
        "svg",
        _mark(kind, 9, 9, ""),
        viewBox="0 0 18 18",
        width=18,
        height=18,
        class_="key",
        aria_hidden="true",
    )


def _mark(kind: str, x: float, y: float, name: str) -> Markup:
    """Shape and colour both say the kind."""
    title = tag("title", name) if name else None
    if kind == "gate":
        west, east, north, south = (f"{at:.1f}" for at in (x - 5, x + 5, y - 5, y + 5))
        path = f"M{west} {north}L{east} {south}M{west} {south}L{east} {north}"
        return tag("path", title, d=path, class_="p-gate")
    if kind == "not":
        corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y + 5:.1f} {x - 6:.1f},{y + 5:.1f}"
        return tag("polygon", title, points=corners, class_="p-not")
    return tag("circle", title, cx=x, cy=y, r=6.5 if kind == "chosen" else 5.5, class_=f"p-{kind}")


def _whisker(point: Point, x: Scale, y: Scale) -> Markup:
    at = x(point.bytes)
    return tag("line", x1=at, x2=at, y1=y(point.points), y2=y(point.at_least or 0.0), class_="whisker")


def _front(points: Sequence[Point]) -> list[Point]:
    """Of those that pass: no other is as small and as good. Smallest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.bytes, -one.points)):
        if point.kind in ("chosen", "passes") and all(point.points > one.points for one in front):
            front.append(point)
    return front


def _cut(name: str) -> str:
    """The end of a long name: exporters begin names with the whole module path."""
    return name if len(name) <= NAME_CHARS else "…" + name[-(NAME_CHARS - 1) :]
