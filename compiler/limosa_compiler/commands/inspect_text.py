"""What `limosa inspect` shows to people: the answer in a screen; the rest is in --json and the report."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from limosa_contracts.cli import columns, printable

WIDTH: Final = 100
WORST_NODES: Final = 3
_ORDER: Final = ("chosen", "second", "larger", "slower", "worse")
"""Standings in the order in which they are told; all others follow, as they occur."""


def inspect_text(said: Mapping[str, Any]) -> str:
    """`said` is what `inspection.describe` gives."""
    lines = [
        f"{said['release']}  {said['size_bytes']} bytes  {said['index_digest']}",
        "signed (limosa verify --key checks by whom)" if said["signed"] else "not signed",
        "",
        columns(
            ["VARIANT", "PRECISION", "CANDIDATE", "MODEL BYTES", "REQUIRES"], _variant_rows(said["variants"])
        ),
        "",
    ]
    if said["candidates"]:
        lines += [columns(_CANDIDATE_HEADS, _candidate_rows(said["candidates"])), ""]
        lines += [*_gate(said), *_reasons(said), *_slices(said), *_sensitivity(said), *_promises(said)]
    else:
        lines.append(printable(f"no evidence: {said['evidence']['file']} is {said['evidence']['state']}"))
    lines += [line for warning in said["warnings"] for line in _wrapped(f"warning: {warning}")]
    if said.get("report"):
        lines += [printable(f"all of it: {said['report']}")]
    if "unpacked" in said:
        lines += ["", f"unpacked {len(said['unpacked'])} files"]
    return "\n".join(lines)


_CANDIDATE_HEADS = [
    "CANDIDATE",
    "BYTES",
    "METRIC",
    "TUNE",
    "AT LEAST",
    "HOLDOUT",
    "POINTS",
    "TIME",
    "MEMORY",
    "LOAD",
]


def _variant_rows(variants: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            variant["name"],
            variant.get("precision", "?"),
            variant.get("candidate", "?"),
            str(variant["files"][0]["size_bytes"]),
            _requires(variant["requires"]),
        ]
        for variant in variants
    ]


def _requires(needs: Mapping[str, Any]) -> str:
    """What a device must have to get it, with the runtime that golden vectors passed on."""
    runtime = " ".join([needs.get("runtime", ""), needs.get("runtime_min", "")]).strip()
    return " ".join([*needs["architectures"], *needs["cpu_features"], runtime]).strip()


def _candidate_rows(candidates: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            item["name"],
            str(item["size_bytes"]),
            item["metric"],
            f"{item['tune']['metric']:.4f}",
            f"{item['tune']['lower_bound_points']:+.2f}",
            f"{item['holdout']['metric']:.4f}",
            f"{item['holdout']['points']:+.2f}",
            f"{item['latency_ratio']:.2f}×",
            f"{item['memory_bytes'] / 1e6:.1f} MB" if "memory_bytes" in item else "?",
            f"{item['load_ms']:.1f} ms" if "load_ms" in item else "?",
        ]
        for item in candidates
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _gate(said: Mapping[str, Any]) -> list[str]:
    bounds = {key: value for key, value in said["build"].get("gate", {}).items() if value is not None}
    return [*_wrapped("gate: " + ", ".join(f"{key} {value:g}" for key, value in bounds.items())), ""]


def _reasons(said: Mapping[str, Any]) -> list[str]:
    """Once for each reason, with everything that it holds for; the choice first."""
    told: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for item in said["candidates"]:
        reasons: dict[tuple[str, str], list[str]] = {}
        for target, standing in item["targets"].items():
            if standing is not None:
                reasons.setdefault((standing["standing"], standing["reason"]), []).append(target)
        for (standing, reason), targets in reasons.items():
            told.setdefault((standing, reason, tuple(targets)), []).append(item["name"])
    everywhere = tuple(variant["name"] for variant in said["variants"])
    ranked = sorted(told.items(), key=lambda one: _rank(one[0][0]))
    lines: list[str] = []
    for (standing, reason, held_for), names in ranked:
        where = "" if set(held_for) == set(everywhere) else f"  ({', '.join(held_for)})"
        lines += _wrapped(f"{standing.replace('_', ' ')}: {', '.join(names)}: {reason}{where}")
    stopped = [(item["name"], item["reason"]) for item in said.get("pruned", [])]
    not_made = [(item["name"], item["detail"] or item["reason"]) for item in said.get("left_out", [])]
    lines += [*_by_reason("not measured to the end", stopped), *_by_reason("not made", not_made)]
    return [*lines, ""]


def _by_reason(what: str, items: Sequence[tuple[str, str]]) -> list[str]:
    """`items`: (name, reason)."""
    told: dict[str, list[str]] = {}
    for name, reason in items:
        told.setdefault(reason, []).append(name)
    return [
        line for reason, names in told.items() for line in _wrapped(f"{what}: {', '.join(names)}: {reason}")
    ]


def _rank(standing: str) -> int:
    return _ORDER.index(standing) if standing in _ORDER else len(_ORDER)


def _chosen(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in said["candidates"]:
        if any(standing and standing["chosen"] for standing in item["targets"].values()):
            yield item


def _slices(said: Mapping[str, Any]) -> list[str]:
    """The slice that loses most, of each candidate that was chosen."""
    lines: list[str] = []
    for item in _chosen(said):
        slices = {**item.get("tune_slices", {})}
        if slices:
            name = min(slices, key=lambda one: (slices[one]["points"], one))
            worst = slices[name]
            lines += _wrapped(
                f"worst of {len(slices)} slices: {item['name']} on {name}: {worst['metric']:.4f}, "
                f"{worst['points']:+.2f} points, {worst['rows']} tune rows"
            )
    return lines


def _sensitivity(said: Mapping[str, Any]) -> list[str]:
    nodes = sorted(said.get("sensitivity", []), key=lambda item: (item["sqnr_db"], item["name"]))
    if not nodes:
        return []
    worst = ", ".join(f"{node['name']} ({node['sqnr_db']:.1f} dB)" for node in nodes[:WORST_NODES])
    kept = sum(node["float_in_choice"] for node in nodes)
    return _wrapped(f"most sensitive of {len(nodes)} nodes: {worst}; {kept} left in float")


def _promises(said: Mapping[str, Any]) -> list[str]:
    """One line for all targets that are promised the same."""
    told: dict[str, list[str]] = {}
    for item in said.get("promises", []):
        memory = item.get("memory_bytes")
        parts = [
            f"{item['artifact_bytes'] / 1e6:.2f} MB of files",
            "" if memory is None else f"{memory / 1e6:.1f} MB of memory",
            f"{item['latency_ratio']:.2f} × fp32's time",
            "" if item.get("latency_us") is None else f"{item['latency_us']:.0f} µs for one row",
        ]
        told.setdefault(", ".join(filter(None, parts)), []).append(item["target"])
    lines: list[str] = []
    for promise, targets in told.items():
        lines += _wrapped(f"promised to {', '.join(targets)}: {promise}")
    return [*lines, ""] if lines else []
