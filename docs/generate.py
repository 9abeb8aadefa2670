"""Writes the pages of docs/reference that are made from the code; `make docs` runs it.

With --check it writes nothing and fails if a committed page is not what would be written.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from limosa_contracts.cli_commands import split_help
from limosa_contracts.cli_host import load, make_host
from limosa_contracts.cli_learn import about, all_errors, next_step
from limosa_contracts.command_table import (
    EXTRA_OF_PARTY,
    NOUNS,
    SECTIONS,
    Row,
    first_words,
    rows_under,
)
from limosa_contracts.errors import LimosaError

REFERENCE = Path(__file__).parent / "reference"
NOT_THERE: list[str] = []
"""Commands of the table that no party has; the pages leave them out, and the script fails."""
MADE = "<!-- Made by `make docs` from the code; do not edit. -->"
EXIT_CODES = (
    (0, "done, or healthy"),
    (1, "failed"),
    (2, "usage: the command line or a document does not make sense"),
    (3, "the verdict is negative"),
    (4, "not authorised"),
    (5, "not trusted"),
    (6, "unreachable"),
    (7, "timed out"),
    (130, "interrupted"),
)


def errors_page() -> str:
    """Every error code with its meaning and what to do."""
    errors = sorted(all_errors().items())
    lines = [
        MADE,
        "# Errors",
        "",
        "Every error has a code, says what, where and why, and ends with a hint. `limosa explain CODE` says",
        'what stands here. With `--json` a command\'s last line on stdout is `{"error": {…}}`; over HTTP the',
        "same fields come as `application/problem+json`.",
        "",
        "| code | meaning | exit | HTTP |",
        "| --- | --- | --- | --- |",
        *(
            f"| [{code}](#{code.lower()}) | {error.summary} | {error.exit_code} | {error.http_status} |"
            for code, error in errors
        ),
        "",
    ]
    for code, error in errors:
        lines += _error(code, error)
    return _page(lines)


def _error(code: str, error: type[LimosaError]) -> list[str]:
    lines = [f"## {code}", "", f"`{error.__name__}`: {error.summary}.", ""]
    if about(error):
        lines += [about(error), ""]
    lines += [f"{next_step(error)}", ""]
    if error.default_hint:
        lines += [f"Hint: {error.default_hint}", ""]
    return lines


def cli_page() -> str:
    """Every command with its examples, arguments and options."""
    lines = [
        MADE,
        "# Commands",
        "",
        "`limosa` is one command; what it needs is installed by extras. stdout holds the answer, stderr",
        "progress and hints. `--json` prints the answer as one line. `NO_COLOR` is honoured.",
        "",
        "| exit code | meaning |",
        "| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES),
        "",
    ]
    for section in SECTIONS:
        lines += [f"## {section}", ""]
        for first in first_words(section):
            lines += [f"{NOUNS[first]}.", ""] if first in NOUNS else []
            for row in rows_under(first):
                lines += _command(row)
    lines += _agent()
    return _page(lines)


def _command(row: Row) -> list[str]:
    needs = f" Needs `limosa[{EXTRA_OF_PARTY[row.party]}]`." if row.extra else ""
    host = make_host()
    context = click.Context(host, info_name="limosa")
    for word in row.path[:-1]:
        context = click.Context(host, info_name=word, parent=context)
    try:
        described = describe(load(row), row.path[-1], context)
    except LimosaError as error:
        NOT_THERE.append(f"limosa {row.name}: {error}")
        return []
    return [f"### limosa {row.name}", "", f"{row.summary}.{needs}", "", *described]


def _agent() -> list[str]:
    """`limosa-agent` has its own script, and so its own table."""
    try:
        module = importlib.import_module("limosa_agent.cli")
    except ImportError as error:
        NOT_THERE.append(f"limosa-agent: {error}")
        return []
    agent = next(value for value in vars(module).values() if isinstance(value, click.Group))
    lines = ["## limosa-agent", "", "The device's own program. Needs `limosa[agent]`.", ""]
    context = click.Context(agent, info_name="limosa-agent")
    for verb in agent.list_commands(context):
        command = agent.get_command(context, verb)
        if command is not None and not command.hidden:
            sentence, _ = split_help(command.help or "")
            lines += [f"### limosa-agent {verb}", "", sentence, "", *describe(command, verb, context)]
    return lines


def describe(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """Usage, examples and options of one command."""
    context = click.Context(command, info_name=name, parent=parent)
    examples: Iterable[str] = getattr(command, "examples", ())
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = ["```text", *examples, "```", ""] if examples else []
    lines += [f"Usage: `{usage}`", ""]
    _, rest = split_help(command.help or "")
    lines += [rest, ""] if rest else []
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in records]
        lines.append("")
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


PAGES: dict[str, Callable[[], str]] = {"errors.md": errors_page, "cli.md": cli_page}


def stale_pages() -> list[str]:
    """Names of pages that are not as the code would make them."""
    return [
        name
        for name, make in PAGES.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text() != make()
    ]


def main() -> int:
    if "--check" in sys.argv[1:]:
        stale = stale_pages()
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is stale: run `make docs`\n")
        return 1 if stale else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make())
        sys.stdout.write(f"docs/reference/{name}\n")
    for missing in NOT_THERE:
        sys.stderr.write(f"left out: {missing}\n")
    return 1 if NOT_THERE else 0


if __name__ == "__main__":
    sys.exit(main())
