"""The model card: what the model is for, on what it was measured, and what it does not do (compiler 6.5).

Source of its parts: M. Mitchell et al., "Model Cards for Model Reporting" (2019), section 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from limosa_compiler.artifact.release_facts import ReleaseFacts
from limosa_compiler.recipe.about import text_of, texts_of
from limosa_compiler.report.numbers import short, signed
from limosa_contracts.serving import TensorSpec

CLASSES_SHOWN: Final = 50
_SPECIAL: Final = re.compile(r"([\\`*_\[\]|#~!])")
_UNSAID: Final = "The recipe does not say."


def make_card(facts: ReleaseFacts) -> bytes:
    """Markdown in UTF-8; the same facts give the same bytes."""
    about = facts.about
    title = text_of(about, "title") or str(facts.release.name)
    sections: list[Iterable[str]] = [
        [f"# {plain(title)} {plain(facts.release.version)}"],
        _paragraph(text_of(about, "description")),
        ["## Intended use"],
        _paragraph(text_of(about, "intended_use") or _UNSAID),
        ["## Limits"],
        _paragraph(text_of(about, "limits") or _UNSAID),
        _warnings(facts),
        ["## Inputs and outputs"],
        _tensors(facts),
        ["## What ships where"],
        _ships(facts),
        ["## How it does"],
        _metrics(facts),
        _slices(facts),
        ["## Data"],
        _data(facts),
        ["## Licence and contact"],
        _people(facts),
        ["## Origin"],
        _origin(facts),
    ]
    blocks = ["\n".join(lines) for section in sections if (lines := list(section))]
    return ("\n\n".join(blocks) + "\n").encode()


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> plain("a|b <script> *c*")
    'a\\\\|b &lt;script&gt; \\\\*c\\\\*'
    """
    one_line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    escaped = _SPECIAL.sub(r"\\\1", one_line.replace("&", "&amp;"))
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """In backticks; backticks in it are left out."""
    shown = "".join(char if char.isprintable() and char not in "`|" else " " for char in text)
    return f"`{shown.strip() or ' '}`"


def rows_of(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, of cells that are escaped already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _paragraph(text: str) -> list[str]:
    return [plain(text)] if text else []


def _warnings(facts: ReleaseFacts) -> list[str]:
    return [f"- {plain(warning)}" for warning in facts.warnings]


def _tensors(facts: ReleaseFacts) -> list[str]:
    rows = [
        [side, code(spec.name), spec.dtype, plain(_shape(spec)), _range(spec)]
        for side, specs in (("input", facts.inputs), ("output", facts.outputs))
        for spec in specs
    ]
    lines = rows_of(["", "name", "type", "shape", "range"], rows)
    if facts.classes:
        more = len(facts.classes) - CLASSES_SHOWN
        shown = ", ".join(plain(name) for name in facts.classes[:CLASSES_SHOWN])
        lines += ["", f"Classes: {shown}{f' and {more} more' if more > 0 else ''}."]
    return lines


def _ships(facts: ReleaseFacts) -> list[str]:
    reference = facts.reference.size
    rows = [
        [
            plain(target),
            plain(item.name),
            plain(item.precision),
            str(item.size),
            f"{item.size / reference:.2f}",
        ]
        for target, item in facts.chosen.items()
    ]
    return rows_of(["target", "candidate", "precision", "bytes", "of fp32"], rows)


def _metrics(facts: ReleaseFacts) -> list[str]:
    better = "lower is better" if facts.lower_is_better else "higher is better"
    lines = [
        f"Metric: {plain(facts.metric)} ({better}). The choice was made on tune rows and confirmed on "
        "holdout rows. Points are against the model as it was trained (fp32).",
        "",
    ]
    rows: list[list[str]] = []
    for item in (facts.reference, *(item for item, _ in facts.candidates().values())):
        if item is not facts.reference or not rows:
            low = item.tune.lower_bound_points
            rows.append(
                [
                    plain(item.name),
                    f"{short(item.tune.metric)} ({item.tune.rows})",
                    f"{short(item.holdout.metric)} ({item.holdout.rows})",
                    signed(item.holdout.points),
                    "" if low is None else signed(low),
                ]
            )
    heads = ["candidate", "tune (rows)", "holdout (rows)", "points, holdout", "at least, tune (95 %)"]
    asked = [
        f"- {code(key)}: {short(float(value))}"
        for key, value in facts.gate.as_json().items()
        if isinstance(value, int | float)
    ]
    return [*lines, *rows_of(heads, rows), "", "The gate it had to meet:", "", *asked]


def _slices(facts: ReleaseFacts) -> list[str]:
    lines: list[str] = []
    for item, _ in facts.candidates().values():
        rows = [
            [plain(name), part, str(score.rows), short(score.metric), signed(score.points)]
            for part, scores in (("tune", item.tune_slices), ("holdout", item.holdout_slices))
            for name, score in scores.items()
        ]
        if rows:
            lines += ["", f"### {plain(item.name)} by slice", ""]
            lines += rows_of(["slice", "part", "rows", "metric", "points"], rows)
    return lines[1:]


def _data(facts: ReleaseFacts) -> list[str]:
    said = text_of(facts.about, "training_data")
    lines = [f"Training data: {plain(said) if said else _UNSAID}", ""]
    lines += [f"- {plain(name)}: {code(digest)}" for name, digest in sorted(facts.inputs_digests.items())]
    lines += [f"- {plain(url)}" for url in texts_of(facts.about, "datasetsURL")]
    return lines


def _people(facts: ReleaseFacts) -> list[str]:
    about = facts.about
    said = (
        ("Licence", ", ".join(texts_of(about, "licenses"))),
        ("Authors", ", ".join(texts_of(about, "authors"))),
        ("Vendor", text_of(about, "vendor")),
        ("Contact", text_of(about, "contact")),
        ("Documentation", text_of(about, "docURL")),
        ("Source", text_of(about, "sourceURL")),
    )
    lines = [f"- {name}: {plain(text)}" for name, text in said if text]
    return lines or [_UNSAID]


def _origin(facts: ReleaseFacts) -> list[str]:
    lines = [f"- {plain(name)}: {code(text)}" for name, text in sorted(facts.lineage.items())]
    tools = ", ".join(f"{plain(name)} {plain(version)}" for name, version in sorted(facts.tools.items()))
    return [*lines, f"- built with {tools}"]


def _shape(spec: TensorSpec) -> str:
    return "×".join("any" if size == -1 else str(size) for size in spec.shape) or "scalar"


def _range(spec: TensorSpec) -> str:
    if spec.low is None and spec.high is None:
        return ""
    return f"{'' if spec.low is None else short(spec.low)} to {'' if spec.high is None else short(spec.high)}"
