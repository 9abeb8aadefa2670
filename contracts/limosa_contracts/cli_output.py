"""What commands print: the answer to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from limosa_contracts.json_value import JsonValue

F = TypeVar("F", bound=Callable[..., object])


def json_option(function: F) -> F:
    """Adds `--json`, which the command gets as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")(
        function
    )


def answer(value: JsonValue, *, as_json: bool, text: str | Callable[[], str]) -> None:
    """Prints `value` as one line of JSON, or `text` for people, on stdout."""
    if as_json:
        click.echo(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(text if isinstance(text, str) else text(), color=colour_choice())


def progress(line: str) -> None:
    """Prints one line on stderr, at once."""
    click.echo(line, err=True, color=colour_choice())


def colour_choice() -> bool | None:
    """False where the user set NO_COLOR; None lets the stream decide (only a terminal gets colour)."""
    return False if os.environ.get("NO_COLOR") else None


def printable(text: str) -> str:
    """The text without what would steer a terminal; line breaks stay.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else ascii(char)[1:-1]
        for char in text.replace("\t", "    ")
    )


def columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned list for people; cells are made printable, headers are dim at a terminal.

    >>> print(click.unstyle(columns(["NAME", "RUNS"], [["dev-1", "1.0.0"]])))
    NAME   RUNS
    dev-1  1.0.0
    """
    clean = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *clean]) for i in range(len(headers))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in clean]
    head = "  ".join(cell.ljust(width) for cell, width in zip(headers, widths, strict=True)).rstrip()
    return "\n".join([click.style(head, dim=True), *(line.rstrip() for line in lines)])
