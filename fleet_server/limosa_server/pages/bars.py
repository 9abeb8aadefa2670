"""A bar of parts, as numbers for server-drawn SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BAR_UNITS: Final = 1000.0  # the drawing's width; SVG scales it to the page
LEAST_UNITS: Final = 8.0  # one failed device of 100,000 is still seen


@dataclass(frozen=True, slots=True)
class Part:
    """So many devices of one kind. `kind` is also the class that colours it."""

    kind: str
    word: str
    mark: str
    count: int


@dataclass(frozen=True, slots=True)
class Segment:
    part: Part
    x: float
    width: float


def segments(parts: Sequence[Part]) -> tuple[Segment, ...]:
    """Side by side over BAR_UNITS, in order; those without devices are left out.

    >>> parts = [Part("done", "done", "✔", 3), Part("failed", "failed", "✘", 1), Part("wait", "w", "·", 0)]
    >>> [(one.x, one.width) for one in segments(parts)]
    [(0.0, 750.0), (750.0, 250.0)]
    """
    shown = [part for part in parts if part.count > 0]
    total = sum(part.count for part in shown)
    wanted = [max(LEAST_UNITS, BAR_UNITS * part.count / total) for part in shown]
    scale = BAR_UNITS / sum(wanted) if wanted else 1.0
    result, x = [], 0.0
    for part, width in zip(shown, wanted, strict=True):
        result.append(Segment(part, round(x, 2), round(width * scale, 2)))
        x += width * scale
    return tuple(result)
