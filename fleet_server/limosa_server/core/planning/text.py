"""A plan for a terminal, wrapped to its width; no colours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from limosa_contracts.json_value import JsonObject
from limosa_server.core.planning import conditions
from limosa_server.core.planning.summary import Group, PlanSummary, about, few
from limosa_server.core.wording import devices

NARROWEST: Final = 80
WIDEST: Final = 120
LABEL: Final = 12  # characters before the facts
NAMED: Final = 4  # devices of a wave that are named
REASONS_SHOWN: Final = 20


def plan_text(planned: JsonObject, *, width: int = 100) -> str:
    """Lines of at most `width` characters, which is taken as at least NARROWEST and at most WIDEST.

    Raises InvalidField for what is not a plan.
    """
    plan = PlanSummary.parse(planned)
    columns = max(NARROWEST, min(width, WIDEST))
    lines = [
        f"{plan.spec.release} → {plan.spec.target}: {devices(plan.devices)} in {_waves(len(plan.waves))}",
        "",
        *_table(_rows(plan), columns),
        "",
        *(line for what, said in conditions.facts(plan.spec) for line in _fact(what, said, columns)),
        *_fact("left out", _left_out(plan), columns),
        *_fact("offline", [f"{len(plan.offline)}{_named(plan.offline)}"], columns),
        *_fact("expected", [f"{about(plan.expected_s)}, {plan.expected_from}"], columns),
        *_fact("at most", [f"{about(plan.longest_s)}, and {conditions.waits(plan.spec)}"], columns),
        *_fact("to move", [plan.moving], columns),
        *_fact("sees", [plan.judge], columns),
        *_fact("on failure", [plan.undone], columns),
        *_fact("way back", _returns(plan.returns), columns),
    ]
    for kind, found in (("warning", plan.warnings), ("problem", plan.problems)):
        for one in found:
            lines += _wrapped(f"{kind}: {one}", columns, indent=2)
    return "\n".join(line.rstrip() for line in lines)


def _rows(plan: PlanSummary) -> list[list[str]]:
    head = ["WAVE", "DEVICES", "BAKE", "THEN", "STARTS", "THROUGH", "AT MOST", "WHO"]
    return [
        head,
        *(
            [
                wave.name,
                str(len(wave.devices)),
                wave.bake,
                wave.then,
                f"in {about(wave.starts_s)}" if wave.starts_s else "at once",
                f"in {about(wave.ends_s)}" if wave.ends_s else "at once",
                about(wave.latest_s),
                few(list(wave.devices), NAMED),
            ]
            for wave in plan.waves
        ),
    ]


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The last column takes what is left of the line, and is cut there."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        head = "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=False))
        left = max(0, width - len(head) - 2)
        last = row[-1] if len(row[-1]) <= left else row[-1][: max(0, left - 1)] + "…"
        lines.append(f"{head}  {last}" if left else head)
    return lines


def _left_out(plan: PlanSummary) -> list[str]:
    lines = [str(len(plan.excluded))]
    for group in plan.excluded_by[:REASONS_SHOWN]:
        who = [device for device, why in plan.excluded.items() if why == f"{group.what}: {group.why}"]
        lines.append(f"{group.devices} × {group.what}: {group.why} ({few(who, NAMED)})")
    rest = len(plan.excluded_by) - REASONS_SHOWN
    return [*lines, f"and {rest} more reasons"] if rest > 0 else lines


def _returns(groups: Sequence[Group]) -> list[str]:
    return [f"{group.what} ({group.why})" for group in groups] or ["nobody takes it"]


def _named(names: tuple[str, ...]) -> str:
    return f": {few(names, 2 * NAMED)}" if names else ""


def _waves(count: int) -> str:
    return "1 wave" if count == 1 else f"{count} waves"


def _fact(label: str, lines: Sequence[str], width: int) -> list[str]:
    found: list[str] = []
    for place, line in enumerate(lines):
        head = label.ljust(LABEL) if place == 0 else " " * LABEL
        wrapped = textwrap.wrap(line, width - LABEL, break_long_words=True, break_on_hyphens=False) or [""]
        found.append(head + wrapped[0])
        found += [" " * (LABEL + (0 if place == 0 else 2)) + more for more in wrapped[1:]]
    return found


def _wrapped(line: str, width: int, *, indent: int) -> list[str]:
    return textwrap.wrap(
        line, width, subsequent_indent=" " * indent, break_long_words=True, break_on_hyphens=False
    )
