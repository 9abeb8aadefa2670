"""`limosa diff`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from limosa_compiler.artifact.archive_file import read_archive
from limosa_contracts.cli import answer, columns, command, json_option, printable

ARTIFACT = click.Path(path_type=Path, exists=True, dir_okay=False)


@command(
    "diff",
    examples=[
        "limosa diff motion-1.0.0.limosa motion-1.1.0.limosa",
        "limosa diff motion-1.0.0.limosa motion-1.1.0.limosa --json  # every file, tool and input",
    ],
)
@click.argument("old", type=ARTIFACT)
@click.argument("new", type=ARTIFACT)
@json_option
def diff(old: Path, new: Path, as_json: bool) -> int:
    """Say what changes from one artifact to another.

    Exit code 0: nothing that breaks a client, or no difference at all. 3: a client of the old one may
    fail with the new one, or a target is gone. Metrics are read from the evidence beside each artifact.
    Digests are checked, signatures are not: limosa verify does that.
    """
    archives = read_archive(old), read_archive(new)

    from limosa_compiler.artifact.diffing import Side, compare
    from limosa_compiler.artifact.inspection import find_evidence

    sides = [
        Side(archive=archive, evidence=find_evidence(path, archive)[0])
        for path, archive in zip((old, new), archives, strict=True)
    ]
    said = compare(*sides)
    answer(said, as_json=as_json, text=lambda: _text(said))
    return 3 if said["breaking"] else 0


def _text(said: Mapping[str, Any]) -> str:
    before, after = said["old"], said["new"]
    lines = [f"{before['release']} -> {after['release']}"]
    if said["equal"]:
        signed = [side["signed"] for side in (before, after)]
        lines.append("equal" if signed[0] == signed[1] else "equal but for signatures")
        return "\n".join(lines)
    lines += [
        "",
        columns(["VARIANT", "STATE", "CANDIDATE", "BYTES", "METRIC"], [_row(v) for v in said["variants"]]),
    ]
    lines += ["", *_interface_lines(said["variants"]), *_build_lines(said["build"])]
    move = said["transfer"]
    lines.append(
        f"to move: {move['moved_bytes']} bytes in {move['moved_blobs']} blobs; "
        f"{move['shared_bytes']} bytes in {move['shared_blobs']} blobs are shared"
    )
    lines.append("BREAKING for clients or targets" if said["breaking"] else "nothing that breaks a client")
    return "\n".join(lines)


def _row(variant: Mapping[str, Any]) -> list[str]:
    metrics = [None if one is None else f"{one['holdout']:.4f}" for one in variant["metric"]]
    return [
        variant["name"],
        variant["state"],
        _change(*variant["candidate"]),
        _change(*variant["model_bytes"]),
        _change(*metrics),
    ]


def _change(old: Any, new: Any) -> str:
    """
    >>> _change("a", "b"), _change("a", "a"), _change(None, 7), _change(None, None)
    ('a -> b', 'a', '- -> 7', '-')
    """
    was, now = ("-" if one is None else str(one) for one in (old, new))
    return was if was == now else f"{was} -> {now}"


def _interface_lines(variants: list[Mapping[str, Any]]) -> list[str]:
    """A line per change, with the variants it holds for."""
    found: dict[tuple[bool, str], list[str]] = {}
    for variant in variants:
        if variant["state"] == "removed":
            found.setdefault((True, "the variant is gone"), []).append(variant["name"])
        for change in variant["interface"]:
            found.setdefault((change["breaking"], change["what"]), []).append(variant["name"])
    lines = [
        f"{'BREAKING   ' if breaking else 'compatible '} {what}  ({', '.join(names)})"
        for (breaking, what), names in sorted(found.items(), key=lambda item: not item[0][0])
    ]
    return [*map(printable, lines), ""] if lines else []


def _build_lines(build: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for kind, word in (("tools", "tool"), ("inputs", "input"), ("decision", "decision")):
        for name, (old, new) in build[kind].items():
            shown = (_short(old), _short(new))
            lines.append(printable(f"{word:<9} {name}: {shown[0]} -> {shown[1]}"))
    return [*lines, ""] if lines else []


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None) or "none"
    text = "-" if value is None else str(value)
    return f"{text[:19]}…" if text.startswith("sha256:") else text
