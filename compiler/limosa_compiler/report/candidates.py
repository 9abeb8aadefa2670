"""The part of the report that says what ships where, how every candidate did, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from limosa_compiler.report.markup import Markup, joined, tag
from limosa_compiler.report.numbers import micros, short, signed, size
from limosa_compiler.report.plots import Point, legend_mark, pareto
from limosa_compiler.report.tables import Row, number, table, wide

View = Mapping[str, Any]
"""Evidence as JSON: the report and evidence.json say the same numbers."""
REFERENCE: Final = "fp32"
MARKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "chosen": ("●", "chosen", "good"),
    "passes": ("○", "meets the gate", "good"),
    "gate": ("✕", "misses the gate", "bad"),
    "not": ("△", "not for this target", "warn"),
    "pruned": ("–", "not measured to the end", "soft"),
}
_KIND_OF_STANDING: Final[Mapping[str, str]] = {
    "chosen": "chosen",
    "gate": "gate",
    "not_for_target": "not",
    "too_large": "not",
    "holdout": "gate",
    "pruned": "pruned",
}
_WORDS: Final[Mapping[str, str]] = {
    "too_large": "too large",
    "holdout": "fails on holdout",
    "larger": "passes, larger",
    "slower": "passes, slower",
    "worse": "passes, worse",
    "second": "passes, second",
}
GATES: Final[Mapping[str, tuple[str, str]]] = {
    "max_loss_points": ("most points lost against fp32", "points"),
    "min_metric": ("bound of the metric itself", ""),
    "max_slice_loss_points": ("most points lost on any slice", "points"),
    "max_size_bytes": ("largest model", "bytes"),
    "max_size_ratio": ("largest model, of fp32", "of fp32"),
    "max_latency_ratio": ("slowest, of fp32's time", "of fp32"),
    "max_memory_bytes": ("most memory", "bytes"),
    "max_load_ms": ("longest load", "ms"),
}


def kind_of(standing: str) -> str:
    """What a standing is in plots: chosen, passes, gate, not."""
    return _KIND_OF_STANDING.get(standing, "passes")


def best_kind(view: View, name: str) -> str:
    """Over all targets."""
    kinds = {kind_of(verdict["standing"]) for _, verdict in verdicts_of(view, name)}
    return next((kind for kind in MARKS if kind in kinds), "not")


def verdicts_of(view: View, name: str) -> list[tuple[str, View]]:
    """(target, verdict) of one candidate."""
    return [
        (choice["target"], verdict)
        for choice in view["targets"]
        for verdict in choice["verdicts"]
        if verdict["candidate"] == name
    ]


def candidate(view: View, name: str) -> View | None:
    return next((item for item in view["candidates"] if item["name"] == name), None)


def mark(kind: str, word: str = "") -> Markup:
    """Sign, word and colour."""
    sign, meaning, colour = MARKS[kind]
    return tag("span", f"{sign} {word or meaning}", class_=f"mark {colour}")


def ships(view: View) -> Markup:
    """One card per candidate that some target gets: the answer, first."""
    chosen: dict[str, list[str]] = {}
    for choice in view["targets"]:
        chosen.setdefault(choice["chosen"] or "", []).append(choice["target"])
    return tag("div", *(_card(view, name, targets) for name, targets in chosen.items()), class_="ships")


def plot(view: View) -> Markup:
    """The figure with its legend, and how to read it."""
    points = [
        Point(
            name=item["name"],
            kind=best_kind(view, item["name"]),
            bytes=item["size_bytes"],
            points=item["tune"]["points"],
            at_least=item["tune"].get("lower_bound_points"),
        )
        for item in view["candidates"]
    ]
    allowed = view["build"].get("gate", {}).get("max_loss_points")
    keys = [
        tag("span", legend_mark(kind), MARKS[kind][1])
        for kind in MARKS
        if kind in {point.kind for point in points}
    ]
    return tag(
        "figure",
        pareto(points, gate=None if allowed is None else -allowed),
        tag("p", *joined_list(keys), class_="legend small"),
        tag(
            "figcaption",
            "Further left is smaller, further up is better. The whisker ends where the candidate is with "
            "95 % confidence: that end has to stay above the gate. The line joins the candidates that no "
            "other beats in both.",
        ),
    )


def joined_list(items: Sequence[Markup]) -> list[Markup]:
    return [joined([item, " "]) for item in items]


def candidates_table(view: View) -> Markup:
    """Every number of every candidate; columns that nobody measured are left out."""
    metric = str(view["build"].get("metric", "metric"))
    columns = [
        column for column in _COLUMNS if any(column[1](view, item) != "" for item in view["candidates"])
    ]
    rows = [
        [item["name"], *(number(shown(view, item)) for _, shown in columns)] for item in view["candidates"]
    ]
    won = [best_kind(view, item["name"]) == "chosen" for item in view["candidates"]]
    heads = ["candidate", *(name.replace("METRIC", metric) for name, _ in columns)]
    return table("Candidates as measured; points are against fp32", heads, rows, marked=won)


def reasons_table(view: View) -> Markup:
    """A row per candidate and reason, with the targets it holds for."""
    rows: list[tuple[int, Row]] = []
    for item in (*view["candidates"], *view.get("pruned", [])):
        grouped: dict[tuple[str, str], list[str]] = {}
        for target, verdict in verdicts_of(view, item["name"]):
            grouped.setdefault((verdict["standing"], verdict["reason"]), []).append(target)
        for (standing, reason), targets in grouped.items():
            kind = kind_of(standing)
            word = _WORDS.get(standing, "")
            row = [item["name"], mark(kind, word), wide(", ".join(targets)), wide(reason)]
            rows.append((list(MARKS).index(kind), row))
    rows.sort(key=lambda ranked: ranked[0])
    return table(
        "Why each was or was not chosen",
        ["candidate", "standing", "targets", "reason"],
        [row for _, row in rows],
        marked=[rank == 0 for rank, _ in rows],
    )


def left_out_table(view: View) -> Markup | None:
    """Kinds of candidates that there are none of, and why."""
    rows: list[Row] = [
        [item["name"], str(item["reason"]).replace("_", " "), wide(item["detail"])]
        for item in view.get("left_out", [])
    ]
    return table("Not made", ["kind", "why", "detail"], rows) if rows else None


def gates_table(view: View) -> Markup:
    """What the recipe asks."""
    gate = view["build"].get("gate", {})
    rows = [
        [GATES.get(key, (key, ""))[0], tag("code", key), number(_bound(key, value))]
        for key, value in sorted(gate.items())
        if value is not None
    ]
    return table("The gate", ["asks", "key", "bound"], rows)


def _bound(key: str, value: Any) -> str:
    unit = GATES.get(key, ("", ""))[1]
    return size(value) if unit == "bytes" else f"{short(value)} {unit}".strip()


def _card(view: View, name: str, targets: Sequence[str]) -> Markup:
    item, reference = candidate(view, name), candidate(view, REFERENCE)
    if item is None:
        return tag("div", tag("h3", "nothing for " + ", ".join(targets)), class_="ship")
    metric = view["build"].get("metric", "metric")
    ratio = f"{item['size_bytes'] / reference['size_bytes']:.2f} of fp32" if reference else ""
    figures = [
        _figure("size", size(item["size_bytes"]), ratio),
        _figure(
            f"{metric}, holdout",
            short(item["holdout"]["metric"]),
            f"{signed(item['holdout']['points'])} points against fp32",
        ),
        _figure("time for one row", f"{item['latency']['ratio']:.2f} ×", "of fp32's, on this machine"),
    ]
    reasons = {verdict["reason"] for target, verdict in verdicts_of(view, name) if target in targets}
    return tag(
        "div",
        tag("h3", mark("chosen", name)),
        tag("p", "goes to ", tag("strong", ", ".join(targets))),
        tag("dl", *figures, class_="figures"),
        tag("p", "Why: ", "; ".join(sorted(reasons)), ".", class_="soft"),
        class_="ship",
    )


def _figure(name: str, value: str, note: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("span", note) if note else None))


def _of_fp32(view: View, item: View) -> str:
    reference = candidate(view, REFERENCE)
    return f"{item['size_bytes'] / reference['size_bytes']:.2f}" if reference else ""


def _at_least(_view: View, item: View) -> str:
    bound = item["tune"].get("lower_bound_points")
    return "" if bound is None else signed(bound)


def _memory(_view: View, item: View) -> str:
    return "" if item.get("memory_bytes") is None else size(item["memory_bytes"])


def _load(_view: View, item: View) -> str:
    return "" if item.get("load_ms") is None else micros(item["load_ms"] * 1000)


_COLUMNS: Final = (
    ("precision", lambda _view, item: str(item["precision"])),
    ("size", lambda _view, item: size(item["size_bytes"])),
    ("of fp32", _of_fp32),
    ("METRIC, tune", lambda _view, item: short(item["tune"]["metric"])),
    ("points, tune", lambda _view, item: signed(item["tune"]["points"])),
    ("at least (95 %)", _at_least),
    ("METRIC, holdout", lambda _view, item: short(item["holdout"]["metric"])),
    ("points, holdout", lambda _view, item: signed(item["holdout"]["points"])),
    ("time of fp32's", lambda _view, item: f"{item['latency']['ratio']:.2f} ×"),
    ("one row", lambda _view, item: micros(item["latency"]["median_us"])),
    ("memory", _memory),
    ("load", _load),
)
