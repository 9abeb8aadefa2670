"""A line per pass while a build runs, on stderr: name, time, error."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Final

from limosa_compiler.passes import OnPass, PassReport
from limosa_contracts.cli import progress

QUICK_S: Final = 0.0005  # below: shown as 0 ms


def pass_lines() -> OnPass:
    """With colour for people at a terminal, plain otherwise."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        return collapsed(_for_people())
    return collapsed(lambda report: progress(line_of(report)))


def collapsed(show: OnPass) -> OnPass:
    """Passes that took no time and changed nothing share the line of the next one that did."""
    quiet: list[str] = []

    def one(report: PassReport) -> None:
        if report.seconds < QUICK_S and not (report.changed or report.note or report.max_abs_error):
            quiet.append(report.name)
            return
        if quiet:
            note = f"and {len(quiet)} without effect before it"
            report = replace(report, note=f"{report.note}, {note}" if report.note else note)
            quiet.clear()
        show(report)

    return one


def line_of(report: PassReport) -> str:
    """
    >>> line_of(PassReport(name="name_nodes", nodes_before=4, nodes_after=4, changed=2, seconds=0.01))
    'name_nodes                    10 ms  changed 2'
    """
    parts = [f"{report.name:<24} {report.seconds * 1000:7.0f} ms"]
    if report.nodes_after != report.nodes_before:
        parts.append(f"nodes {report.nodes_before} -> {report.nodes_after}")
    if report.changed:
        parts.append(f"changed {report.changed}")
    if report.max_abs_error is not None:
        parts.append(f"max error {report.max_abs_error:.3g}")
    if report.note:
        parts.append(report.note)
    return "  ".join(parts)


def _for_people() -> OnPass:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)

    def show(report: PassReport) -> None:
        line = Text(line_of(report))
        line.stylize("green", 0, len(report.name))
        line.stylize("dim", 24, 36)
        console.print(line)

    return show
