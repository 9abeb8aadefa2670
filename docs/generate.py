"""Writes what in docs/ is made from the code; `make docs` runs it.

Some pages of docs/reference are made whole. In others a part is made, between two comments: drawings of
state machines, tables of endpoints and numbers. With --check it writes nothing and fails if what is
committed is not what would be written.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import click
from fastapi.routing import APIRoute

sys.path.insert(0, str(Path(__file__).parents[1]))  # what lies beside the packages

from docs.limits import limits_page
from docs.reason_codes import reason_codes_page
from limosa_agent.update.machine import as_mermaid
from limosa_compiler.processing.reference import postprocess_reference, preprocess_reference
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
from limosa_server.api import auth
from limosa_server.api.routers import ROUTERS
from limosa_server.core.diagram import diagrams
from limosa_server.core.judging.gate import wilson_lower

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
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


def update_machine() -> str:
    """The device's update machine, from its table."""
    return f"```mermaid\n{as_mermaid()}```"


def rollout_machines() -> str:
    """Rollout, wave and execution, from their tables."""
    drawings = diagrams()
    return "\n\n".join(f"### {name}\n\n```mermaid\n{drawing}```" for name, drawing in drawings.items())


def bounds() -> str:
    """Lower Wilson bounds as the gate computes them."""
    lines = [
        "| executed | failed | share | surely at least | against 10 % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for executed, failed in ((1, 1), (2, 1), (10, 2), (10, 3), (20, 4), (20, 5), (50, 8), (50, 9), (500, 62)):
        bound = wilson_lower(failed, executed)
        verdict = "fires" if bound > 0.10 else "waits"
        lines.append(f"| {executed} | {failed} | {failed / executed:.1%} | {bound:.1%} | {verdict} |")
    return "\n".join(lines)


DEVICES = 1000


def stopping() -> str:
    """How often each rule ever stops a rollout over DEVICES devices, exactly."""
    lines = ["| true failure rate | share > 10 % | surely > 10 % |", "| --- | --- | --- |"]
    for rate in (0.03, 0.05, 0.10, 0.20, 0.30):
        shares = [_stops(rate, rule) for rule in (lambda k, n: k > n / 10, _surely)]
        lines.append(f"| {rate:.0%} | {shares[0]:.1%} | {shares[1]:.1%} |")
    return "\n".join(lines)


def _surely(failed: int, executed: int) -> bool:
    return wilson_lower(failed, executed) > 0.10


def _stops(rate: float, rule: Callable[[int, int], bool]) -> float:
    """The chance that `rule` fires at one of the devices from the tenth to the last."""
    going = {0: 1.0}  # failures so far -> chance, of rollouts that have not stopped
    for executed in range(1, DEVICES + 1):
        after: dict[int, float] = {}
        for failed, chance in going.items():
            after[failed] = after.get(failed, 0.0) + chance * (1 - rate)
            after[failed + 1] = after.get(failed + 1, 0.0) + chance * rate
        going = {k: p for k, p in after.items() if p > 1e-15 and (executed < 10 or not rule(k, executed))}
    return 1 - sum(going.values())


def endpoints() -> str:
    """Every endpoint with who may call it."""
    lines = ["| endpoint | who | what |", "| --- | --- | --- |"]
    found: dict[tuple[str, str], str] = {}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                sentence = CLAUSE.sub(
                    "", " ".join((route.description or route.name.capitalize()).split())
                ).split(". ")[0]
                for method in sorted(route.methods or ()):
                    found[(route.path, method)] = f"{_who(route)} | {_cell(sentence.rstrip('.'))}"
    lines += [f"| `{method} {path}` | {rest} |" for (path, method), rest in found.items()]
    return "\n".join(lines)


CLAUSE = re.compile(r" \([a-z]+ \d[\d., ]*\)")
"""A clause of the design, which a reader of the reference does not need."""
WHO: dict[object, str] = {
    auth.Viewer: "viewer",
    auth.Publisher: "publisher",
    auth.Operator: "operator",
    auth.Approver: "approver",
    auth.Admin: "admin",
    auth.FromDevice: "device",
    auth.Reader: "device or viewer",
}


def _who(route: APIRoute) -> str:
    named = {get_args(kind)[1].dependency: who for kind, who in WHO.items()}
    waiting = list(route.dependant.dependencies)
    while waiting:
        dependency = waiting.pop()
        if dependency.call in named:
            return named[dependency.call]
        waiting += dependency.dependencies
    return "anybody"


PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("explanation/how-an-update-happens.md", "update machine"): update_machine,
    ("explanation/how-an-update-happens.md", "rollout machines"): rollout_machines,
    ("explanation/the-judge.md", "bounds"): bounds,
    ("explanation/the-judge.md", "stopping"): stopping,
    ("reference/http-api.md", "endpoints"): endpoints,
    ("reference/limosa-toml.md", "preprocess steps"): preprocess_reference,
    ("reference/limosa-toml.md", "postprocess steps"): postprocess_reference,
}
"""Page and name of the part -> what stands between its two comments."""


def with_part(page: str, name: str, made: str) -> str:
    """The page with the part as it is made now. Raises ValueError where the comments are missing."""
    begin, end = f"<!-- made: {name} -->\n", f"<!-- end: {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no part {name!r}")
    return f"{before}{begin}{made}\n{end}{after}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "cli.md": cli_page,
    "limits.md": lambda: limits_page(MADE),
    "reason-codes.md": lambda: reason_codes_page(MADE),
}


def stale_pages() -> list[str]:
    """Names of pages that are not as the code would make them."""
    whole = [
        f"reference/{name}"
        for name, make in PAGES.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text() != make()
    ]
    parts = [
        page
        for (page, name), make in PARTS.items()
        if with_part(text := (DOCS / page).read_text(), name, make()) != text
    ]
    return [*whole, *parts]


def main() -> int:
    if "--check" in sys.argv[1:]:
        stale = stale_pages()
        for name in stale:
            sys.stderr.write(f"docs/{name} is stale: run `make docs`\n")
        return 1 if stale else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make())
        sys.stdout.write(f"docs/reference/{name}\n")
    for (page, name), make in PARTS.items():
        path = DOCS / page
        path.write_text(with_part(path.read_text(), name, make()))
        sys.stdout.write(f"docs/{page}: {name}\n")
    for missing in NOT_THERE:
        sys.stderr.write(f"left out: {missing}\n")
    return 1 if NOT_THERE else 0


if __name__ == "__main__":
    sys.exit(main())
