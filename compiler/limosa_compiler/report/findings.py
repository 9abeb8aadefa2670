"""The parts of the report that help to understand: slices, mistakes, importance, sensitivity, ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from limosa_compiler.report.candidates import REFERENCE, View, best_kind
from limosa_compiler.report.markup import Child, Markup, joined, tag
from limosa_compiler.report.numbers import short, signed
from limosa_compiler.report.plots import Bar, bars, span
from limosa_compiler.report.tables import Cell, Row, number, table

MATRIX_CLASSES_MAX: Final = 20  # more do not fit on paper; then the pairs are listed
BARS_MAX: Final = 24
ROWS_MAX: Final = 40


def slices(view: View) -> Markup | None:
    """The metric by slice of fp32 and what was chosen; of all candidates in a table to open."""
    items = [item for item in view["candidates"] if item.get("holdout_slices") or item.get("tune_slices")]
    if not items:
        return None
    few = [item for item in items if item["name"] == REFERENCE or best_kind(view, item["name"]) == "chosen"]
    first = [_by_slice(part, few) for part in ("tune", "holdout")]
    if len(few) == len(items):
        return joined(first)
    rest = [_by_slice(part, items) for part in ("tune", "holdout")]
    return joined([*first, tag("details", tag("summary", f"All {len(items)} candidates"), *rest)])


def _by_slice(part: str, items: Sequence[View]) -> Markup | None:
    names = list(dict.fromkeys(name for item in items for name in item.get(f"{part}_slices", {})))
    rows: list[Row] = [[name, *_slice_cells(name, part, items)] for name in names]
    heads = ["slice", "rows", *(item["name"] for item in items)]
    return table(f"Metric by slice on {part} rows, with points against fp32", heads, rows) if rows else None


def mistakes(view: View) -> Markup | None:
    """A confusion matrix where the classes fit, else pairs; the worst rows for other metrics."""
    parts: list[Markup] = []
    for found in view.get("mistakes", []):
        if found["pairs"]:
            parts.append(_confusion(found))
        if found["worst"]:
            rows = [[str(one["row"]), number(short(one["metric"])), one["note"]] for one in found["worst"]]
            caption = f"{found['candidate']}: holdout rows with the worst value of the metric"
            parts.append(table(caption, ["row", "metric", "label and answer"], rows))
    return joined(parts) if parts else None


def importance(view: View) -> Markup | None:
    """Bars with their interval, and the same numbers."""
    found = view.get("importance", [])
    if not found:
        return None
    drawn = [
        Bar(name=item["feature"], value=item["points"], low=item["low_points"], high=item["high_points"])
        for item in found[:BARS_MAX]
    ]
    rows = [
        [
            item["feature"],
            item["input"],
            number(signed(item["points"])),
            number(f"{signed(item['low_points'])} to {signed(item['high_points'])}"),
        ]
        for item in found[:ROWS_MAX]
    ]
    return tag(
        "div",
        tag(
            "figure",
            bars("plot-importance", "Points lost when a feature is permuted", drawn, unit="points lost"),
            tag("figcaption", "The thin line is the 95 % interval; where it reaches 0, nothing is known."),
        ),
        table("Permutation importance", ["feature", "input", "points lost", "95 % interval"], rows),
        class_="both",
    )


def sensitivity(view: View) -> Markup | None:
    """The nodes that suffer most, and all of them as a table."""
    found = sorted(view.get("sensitivity", []), key=lambda item: (item["sqnr_db"], item["name"]))
    if not found:
        return None
    drawn = [
        Bar(name=item["name"], value=item["sqnr_db"], marked=item["float_in_choice"])
        for item in found[:BARS_MAX]
    ]
    rows = [
        [
            item["name"],
            item["op_type"],
            number(f"{item['sqnr_db']:.1f}".replace("-", "−")),
            "yes" if item["float_in_choice"] else "no",
        ]
        for item in found
    ]
    everything = table("Nodes, worst first", ["node", "operator", "SQNR, dB", "left in float"], rows)
    return joined(
        [
            tag(
                "figure",
                bars("plot-sensitivity", "Signal to noise with one node quantized", drawn, unit="dB"),
                tag(
                    "figcaption", "Short bars suffer most. Red: a chosen candidate leaves the node in float."
                ),
            ),
            tag("details", tag("summary", f"All {len(rows)} nodes"), everything)
            if len(rows) > BARS_MAX
            else everything,
        ]
    )


def ranges(view: View) -> Markup | None:
    """Tensors whose tails are long: where MinMax and percentiles differ most."""
    found = view.get("ranges", [])
    if not found:
        return None
    rows = [
        [
            item["tensor"],
            span(item["low"], item["high"], item["kept_low"], item["kept_high"]),
            number(f"{short(item['low'])} to {short(item['high'])}"),
            number(f"{short(item['kept_low'])} to {short(item['kept_high'])}"),
            number(f"{_cut(item):.0%}"),
        ]
        for item in found[:ROWS_MAX]
    ]
    heads = ["tensor", "kept of all", "extremes", "kept", "cut"]
    return table("Calibration ranges, those cut most first", heads, rows)


def _cut(item: View) -> float:
    whole = item["high"] - item["low"]
    return 1 - (item["kept_high"] - item["kept_low"]) / whole if whole > 0 else 0.0


def _slice_cells(name: str, part: str, items: Sequence[View]) -> list[Child | Cell]:
    scores: list[Any] = [item.get(f"{part}_slices", {}).get(name) for item in items]
    rows = next((score["rows"] for score in scores if score), 0)
    cells = [
        number(f"{short(score['metric'])} ({signed(score['points'])})" if score else "") for score in scores
    ]
    return [number(str(rows)), *cells]


def _confusion(found: View) -> Markup:
    name, classes = found["candidate"], found["classes"]
    counted = {(pair["true"], pair["said"]): pair["rows"] for pair in found["pairs"]}
    if len(classes) > MATRIX_CLASSES_MAX:
        wrong = [pair for pair in found["pairs"] if pair["true"] != pair["said"]][:ROWS_MAX]
        rows = [[pair["true"], pair["said"], number(str(pair["rows"]))] for pair in wrong]
        return table(f"{name}: most frequent mistakes on holdout rows", ["true", "answered", "rows"], rows)
    most = max(counted.values())
    matrix: list[list[Child | Cell]] = []
    for true in classes:
        total = sum(counted.get((true, said), 0) for said in classes)
        row: list[Child | Cell] = [true]
        for said in classes:
            count = counted.get((true, said), 0)
            row.append(Cell(child=str(count) if count else "·", kind=_heat(count, most, hit=true == said)))
        hits = counted.get((true, true), 0)
        matrix.append([*row, number(f"{hits / total:.0%}" if total else "")])
    caption = f"{name} on holdout rows: true class down, answered across; the share of hits at the end"
    return table(caption, ["true \\ answered", *classes, "right"], matrix, kind="heat")


def _heat(count: int, most: int, *, hit: bool) -> str:
    level = 0 if not count else min(4, 1 + int(3.999 * count / most))
    return " ".join(filter(None, (f"h{level}" if level else "", "hit" if hit and count else "")))
