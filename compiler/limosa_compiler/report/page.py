"""The report as one page: verdict first, then numbers, then what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from limosa_compiler.report import findings
from limosa_compiler.report.candidates import (
    View,
    candidates_table,
    gates_table,
    left_out_table,
    plot,
    reasons_table,
    ships,
)
from limosa_compiler.report.markup import Markup, joined, tag
from limosa_compiler.report.numbers import micros, short, size
from limosa_compiler.report.style import style
from limosa_compiler.report.tables import Row, facts, number, table, wide

Section: TypeAlias = tuple[str, str, str, Callable[[View], Markup | None]]
SECTIONS: Final[Sequence[Section]] = (
    ("candidates", "Candidates", "", lambda view: joined([plot(view), candidates_table(view)])),
    (
        "reasons",
        "Gate and reasons",
        "",
        lambda view: joined([gates_table(view), reasons_table(view), left_out_table(view)]),
    ),
    (
        "slices",
        "Metric by slice",
        "Where a slice has few rows, its points say little.",
        findings.slices,
    ),
    ("mistakes", "Mistakes", "On holdout rows, which the choice was not made on.", findings.mistakes),
    (
        "importance",
        "What the model relies on",
        "Points of the metric that are lost when one feature's values are dealt to other rows. "
        "Features that say the same thing share what they are worth.",
        findings.importance,
    ),
    (
        "sensitivity",
        "Sensitivity by node",
        "One node at a time is quantized; what is left of the output's signal is compared with the noise.",
        findings.sensitivity,
    ),
    (
        "ranges",
        "Calibration ranges",
        "A long tail that is kept makes every step of the quantized tensor coarser; one that is cut is lost.",
        findings.ranges,
    ),
    ("promises", "What devices are promised", "", lambda view: _promises(view)),
    ("passes", "Passes", "", lambda view: _passes(view)),
    ("origin", "Origin", "", lambda view: _origin(view)),
)


def page(view: View) -> Markup:
    """`view` is evidence as JSON. The same evidence gives the same bytes."""
    parts = [(key, title, note, made) for key, title, note, make in SECTIONS if (made := make(view))]
    release = str(view["release"])
    body = tag(
        "main",
        tag("header", tag("h1", f"{release}: what ships where, and why"), _subtitle(view)),
        ships(view),
        _warnings(view),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", title, href=f"#{key}")) for key, title, _, _ in parts)),
            aria_label="Parts of the report",
        ),
        *(
            tag(
                "section",
                tag("h2", title, id=f"{key}-title"),
                tag("p", note, class_="soft") if note else None,
                made,
                id=key,
                aria_labelledby=f"{key}-title",
            )
            for key, title, note, made in parts
        ),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'",
        ),
        tag("title", f"{release}: build report"),
        tag("style", Markup(style())),
    )
    return Markup(f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n")


def _subtitle(view: View) -> Markup:
    build = view["build"]
    first = view["candidates"][0] if view["candidates"] else None
    rows = f", {first['tune']['rows']} tune and {first['holdout']['rows']} holdout rows" if first else ""
    return tag(
        "p",
        f"Measured by {build.get('metric', 'a metric')}{rows}. Index ",
        tag("code", str(view["index_digest"])),
        class_="soft",
    )


def _warnings(view: View) -> Markup | None:
    if not view["warnings"]:
        return None
    listed = tag("ul", *(tag("li", warning) for warning in view["warnings"]))
    return tag("div", tag("strong", "! Warnings"), listed, class_="notes", role="note")


def _promises(view: View) -> Markup | None:
    """What a variant costs on its target, and on what that was measured."""
    rows: list[Row] = [
        [
            item["target"],
            item["candidate"],
            number(size(item["artifact_bytes"])),
            number("not measured" if item.get("memory_bytes") is None else size(item["memory_bytes"])),
            number(f"{item['latency_ratio']:.2f} ×"),
            number("" if item.get("latency_us") is None else micros(item["latency_us"])),
            wide(item["basis"]),
        ]
        for item in view.get("promises", [])
    ]
    heads = ["target", "candidate", "all files", "memory", "time of fp32's", "one row", "basis"]
    return (
        table("Per target; memory is the peak above what the runtime alone takes", heads, rows)
        if rows
        else None
    )


def _spoken(value: Any) -> str:
    """A JSON value as a short text."""
    if isinstance(value, Mapping):
        said = (f"{str(key).replace('_', ' ')} {_spoken(item)}" for key, item in value.items())
        return "; ".join(said)
    if isinstance(value, (list, tuple)):
        return ", ".join(_spoken(item) for item in value)
    if isinstance(value, float):
        return short(value)
    return "none" if value is None else str(value)


def _passes(view: View) -> Markup | None:
    rows: list[Row] = [
        [
            str(item.get("name", "")),
            number(f"{item.get('seconds', 0.0) * 1000:.0f} ms"),
            number(f"{item.get('nodes_before', '')} → {item.get('nodes_after', '')}"),
            number(str(item.get("changed") or "")),
            number("" if item.get("max_abs_error") is None else short(item["max_abs_error"])),
            wide(str(item.get("note", ""))),
        ]
        for item in view["passes"]
    ]
    if not rows:
        return None
    heads = ["pass", "time", "nodes", "changed", "largest error", "note"]
    return table("In the order in which they ran", heads, rows)


def _origin(view: View) -> Markup:
    """Lineage, inputs, tools and the machine."""
    groups = (
        ("Lineage", view.get("lineage", {})),
        ("Inputs, as sha256", view["inputs"]),
        ("Decisions", {key: _spoken(value) for key, value in view["build"].items() if key != "gate"}),
        ("Tools", view["tools"]),
        ("Measured on", view["machine"]),
    )
    return joined(
        [
            joined([tag("h3", title), facts({key: tag("code", str(item)) for key, item in group.items()})])
            for title, group in groups
            if group
        ]
    )
