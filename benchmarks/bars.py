"""Bars, versions and machine: what every benchmark prints beside its table."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Final

PACKAGES: Final = ("limosa", "numpy", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Met where `value` is at most `limit`, or with `at_least`, at least."""

    name: str
    limit: float
    value: float
    at_least: bool = False
    ok: bool = field(init=False)

    def __post_init__(self) -> None:
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        object.__setattr__(self, "ok", met)

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{'ok  ' if self.ok else 'MISS'} {self.name}: {self.value:.4g} (bar {sign} {self.limit:g})"


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Aligned by column, to stderr."""
    if not rows:
        return
    names = list(rows[0])
    lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    for line in lines:
        sys.stderr.write(
            "  ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=True)).rstrip() + "\n"
        )


def finish(
    rows: Sequence[Mapping[str, object]],
    bars: Sequence[Bar],
    *,
    as_json: bool,
    packages: Sequence[str] = PACKAGES,
    libraries: Mapping[str, str] | None = None,
) -> int:
    """Prints the bars, and with `as_json` one object as the last line of stdout. It ran: always 0.

    `libraries`: versions of what is no package of its own.
    """
    for bar in bars:
        sys.stderr.write(f"{bar}\n")
    if as_json:
        line = {
            "versions": versions(packages) | dict(libraries or {}),
            "machine": machine(),
            "rows": list(rows),
            "bars": [asdict(bar) for bar in bars],
        }
        sys.stdout.write(json.dumps(line) + "\n")
    return 0
