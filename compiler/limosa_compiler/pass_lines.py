"""A line per pass while a build runs, on stderr: name, time, error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from limosa_compiler.passes import OnPass, PassReport
from limosa_contracts.cli import progress

QUICK_S: Final = 0.0005  # below: shown as 0 ms
NAME_WIDTH: Final = 38  # of `measure int8-7bit-core-p99.999-float16`, the longest there is
_MAKE: Final = "make "
_LITERT: Final = "litert"


def pass_lines() -> OnPass:
    """With colour, and what is being made now, for people at a terminal; plain otherwise."""
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        show, peek = _for_people()
        return collapsed(families(show, peek=peek))
    return collapsed(families(lambda report: progress(line_of(report))))


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


def families(show: OnPass, *, peek: OnPass = lambda report: None) -> OnPass:
    """Candidates of one kind that are made one after the other share a line, shown when the next pass ends.

    `peek` sees each of them at once.
    """
    made: list[PassReport] = []

    def flush() -> None:
        if made:
            show(made[0] if len(made) == 1 else _together(made))
            made.clear()

    def one(report: PassReport) -> None:
        if not report.name.startswith(_MAKE):
            flush()
            show(report)
            return
        if made and _family(made[0].name) != _family(report.name):
            flush()
        made.append(report)
        peek(report)

    return one


def line_of(report: PassReport) -> str:
    """
    >>> line_of(PassReport(name="name_nodes", nodes_before=4, nodes_after=4, changed=2, seconds=0.01))
    'name_nodes                                  10 ms  changed 2'
    """
    parts = [f"{report.name:<{NAME_WIDTH}} {report.seconds * 1000:7.0f} ms"]
    if report.nodes_after != report.nodes_before:
        parts.append(f"nodes {report.nodes_before} -> {report.nodes_after}")
    if report.changed:
        parts.append(f"changed {report.changed}")
    if report.max_abs_error is not None:
        parts.append(f"max error {report.max_abs_error:.3g}")
    if report.note:
        parts.append(report.note)
    return "  ".join(parts)


def _family(name: str) -> str:
    """
    >>> _family("make int8-7bit-core-mse"), _family("make litert-int8-mse")
    ('int8', 'litert-int8')
    """
    words = name.removeprefix(_MAKE).split("-")
    return "-".join(words[:2]) if words[0] == _LITERT else words[0]


def _together(made: Sequence[PassReport]) -> PassReport:
    """One report of several candidates; errors that are not finite are none."""
    errors = [report.max_abs_error for report in made if report.max_abs_error is not None]
    notes = [f"{len(made)} candidates"]
    if errors:
        notes.append(f"max error {min(errors):.3g} to {max(errors):.3g}")
    notes += [report.note for report in made if report.note]
    return replace(
        made[-1],
        name=f"{_MAKE}{_family(made[0].name)}",
        seconds=sum(report.seconds for report in made),
        max_abs_error=None,
        note="  ".join(notes),
    )


def _for_people() -> tuple[OnPass, Callable[[PassReport], None]]:
    """(what shows a line that stays, what shows one until the next)."""
    from rich.console import Console
    from rich.control import Control
    from rich.segment import ControlType
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    erased = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))

    def styled(report: PassReport) -> Text:
        line = Text(line_of(report))
        line.stylize("green", 0, len(report.name))
        line.stylize("dim", NAME_WIDTH, NAME_WIDTH + 12)
        return line

    def show(report: PassReport) -> None:
        console.control(erased)
        console.print(styled(report))

    def peek(report: PassReport) -> None:
        console.control(erased)
        console.print(styled(report), end="", no_wrap=True, overflow="ellipsis")

    return show, peek
