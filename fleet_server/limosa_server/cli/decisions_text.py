"""Decisions of a rollout as text: what the last comparison found, and what a replay says (rollouts 5.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limosa_contracts.cli import columns, printable
from limosa_contracts.json_value import JsonObject, JsonValue


def replayed(decisions: Sequence[JsonObject]) -> list[str]:
    """One line if every decision comes out the same; else one for each that does not."""
    found = [(one, one["replay"]) for one in decisions if isinstance(one.get("replay"), Mapping)]
    made = [(one, replay) for one, replay in found if _of(replay, "outcome") != "nothing to decide"]
    if not made:
        return []
    bad = [(one, replay) for one, replay in made if _of(replay, "outcome") != "same"]
    same = len(made) - len(bad)
    count = f"{same} of {len(made)}" if bad else str(len(made))
    noun = "decision comes" if same == 1 and not bad else "decisions come"
    lines = [f"{count} {noun} out the same, made once more from the record"]
    for one, replay in bad:
        why = printable(_of(replay, "why"))
        lines.append(f"decision {one['id']} ({one['kind']}): replay {_of(replay, 'outcome')}: {why}")
    return lines


def last_comparison(decisions: Sequence[JsonObject]) -> list[str]:
    """What each metric showed at the last look."""
    compared = [one for one in decisions if one.get("kind") == "compared"]
    numbers = compared[-1].get("numbers") if compared else None
    findings = numbers.get("findings") if isinstance(numbers, Mapping) else None
    if not isinstance(findings, (list, tuple)):
        return []
    head = ["METRIC", "VERDICT", "DEVICES", "STAYED", "WORSE BY", "SURELY BETWEEN", "ALLOWED"]
    rows = [_row(one) for one in findings if isinstance(one, Mapping)]
    return ["", *columns(head, rows).splitlines()]


def _row(finding: JsonObject) -> list[str]:
    kind = str(finding.get("kind"))
    treated, control = _pair(finding.get("n"))
    if kind == "rate":
        hit, hit_control = _pair(finding.get("hits"))
        treated, control = f"{hit} of {treated}", f"{hit_control} of {control}"
    low, high = (_amount(kind, finding.get(name)) for name in ("lower", "upper"))
    return [
        printable(str(finding.get("metric")).replace("_", " ")),
        printable(str(finding.get("verdict"))),
        treated,
        control,
        _amount(kind, finding.get("harm")),
        f"{low} and {high}" if low and high else "",
        _amount(kind, finding.get("margin")),
    ]


def _amount(kind: str, value: JsonValue) -> str:
    if not isinstance(value, (int, float)):
        return ""
    return f"{value:+.3f}" if kind == "distance" else f"{value:+.1%}"


def _pair(value: JsonValue) -> tuple[str, str]:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return str(value[0]), str(value[1])
    return "", ""


def _of(replay: JsonValue, name: str) -> str:
    return str(replay.get(name, "")) if isinstance(replay, Mapping) else ""
