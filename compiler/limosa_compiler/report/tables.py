"""Tables and lists of facts, as a screen reader and a narrow screen need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from limosa_compiler.report.markup import Child, Markup, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    child: Child
    kind: str = ""  # a class of the style sheet: "n" is a number, "wide" a sentence


LONG_CHARS: Final = 28  # of a row's name: a longer one is broken
Row: TypeAlias = "Sequence[Child | Cell]"


def number(shown: str) -> Cell:
    return Cell(child=shown, kind="n")


def wide(shown: Child) -> Cell:
    return Cell(child=shown, kind="wide")


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Row],
    *,
    marked: Sequence[bool] = (),
    kind: str = "",
) -> Markup:
    """The first cell of a row is its header. It scrolls by itself, also with the keyboard."""
    numeric = [
        bool(rows) and all(isinstance(row[i], Cell) and _kind(row[i]) == "n" for row in rows)
        for i in range(len(heads))
    ]
    head = tag(
        "tr",
        *(
            tag("th", name, scope="col", class_="n" if is_number else None)
            for name, is_number in zip(heads, numeric, strict=True)
        ),
    )
    body = [
        tag("tr", *_cells(row), class_="won" if i < len(marked) and marked[i] else None)
        for i, row in enumerate(rows)
    ]
    inner = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", *body),
        class_=kind or None,
    )
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def facts(items: Mapping[str, Child]) -> Markup:
    """Names and what they are."""
    children: list[Markup] = []
    for name, value in items.items():
        children += [tag("dt", name), tag("dd", value)]
    return tag("dl", *children, class_="facts")


def _kind(cell: Child | Cell) -> str:
    return cell.kind if isinstance(cell, Cell) else ""


def _cells(row: Sequence[Child | Cell]) -> list[Markup]:
    cells: list[Markup] = []
    for i, item in enumerate(row):
        child = item.child if isinstance(item, Cell) else item
        long = "long" if not i and isinstance(child, str) and len(child) > LONG_CHARS else ""
        kind = _kind(item) or long or None
        cells.append(tag("td", child, class_=kind) if i else tag("th", child, scope="row", class_=kind))
    return cells
