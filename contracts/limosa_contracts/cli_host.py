"""The `limosa` command: names come from the table, a party is imported when its command is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import cast

import click

from limosa_contracts.cli_commands import CONTEXT, Group, heading, write_examples, write_paragraphs
from limosa_contracts.cli_errors import from_import
from limosa_contracts.command_table import (
    DEFAULT_OF_NOUN,
    SECTIONS,
    Row,
    first_words,
    rows_under,
    summary_of,
)
from limosa_contracts.errors import Internal

ENTRY_POINT_GROUP = "limosa.commands"
HOST_COMMANDS = {
    "explain": "limosa_contracts.cli_learn:explain",
    "completion": "limosa_contracts.cli_learn:completion",
    "version": "limosa_contracts.cli_learn:version",
}
PURPOSE = "Takes a trained model to every device of a fleet, and keeps it healthy there."


class Host(Group):
    """`limosa`: its help imports no party."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [first for section in SECTIONS for first in first_words(section)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        rows = rows_under(cmd_name)
        if not rows:
            return None
        if len(rows[0].path) > 1:
            return Noun(cmd_name, rows)
        return load(rows[0])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS]")
        write_paragraphs(formatter, self.help or "")
        write_examples(formatter, self.examples)
        for section in SECTIONS:
            write_rows(formatter, section, [(first, summary_of(first)) for first in first_words(section)])
        click.Command.format_options(self, ctx, formatter)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        names = [(name, summary_of(name)) for name in self.list_commands(ctx)]
        return complete_names(names, incomplete) or click.Command.shell_complete(self, ctx, incomplete)


class Noun(Group):
    """`limosa rollout` and its like: the verbs come from the table as well."""

    def __init__(self, name: str, rows: tuple[Row, ...]) -> None:
        super().__init__(name, help=f"{summary_of(name)}.", examples=[row.example for row in rows[:3]])
        self.rows = {row.path[1]: row for row in rows}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load(self.rows[cmd_name]) if cmd_name in self.rows else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        default = DEFAULT_OF_NOUN.get(str(self.name))
        if default is not None and args[0] not in self.list_commands(ctx):
            args = [default, *args]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_rows(formatter, "Commands", [(verb, row.summary) for verb, row in self.rows.items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        names = [(verb, row.summary) for verb, row in self.rows.items()]
        return complete_names(names, incomplete) or click.Command.shell_complete(self, ctx, incomplete)


def load(row: Row) -> click.Command:
    """The command of a row. Raises MissingDependency; Internal if its party does not have it."""
    try:
        return _find(_party_commands(row.party), row)
    except ImportError as error:
        raise from_import(error, extra=row.extra) from error


def make_host() -> Host:
    """A fresh `limosa` command."""
    host = Host(
        "limosa",
        help=PURPOSE,
        examples=[
            "limosa demo                      # the whole loop on this machine, in two minutes",
            "limosa build recipe.toml         # a trained model becomes an edge artifact",
            "limosa rollout status 7 --watch  # follow a rollout",
        ],
        context_settings=CONTEXT,
    )
    host.params.append(
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
            help="Print the version and exit.",
        )
    )  # fmt: skip
    return host


def write_rows(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    """A section of names and summaries, aligned over all sections."""
    with formatter.section(heading(title)):
        formatter.write_dl([(name.ljust(12), summary) for name, summary in rows])


def complete_names(
    names: list[tuple[str, str]], incomplete: str
) -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=about) for name, about in names if name.startswith(incomplete)]


def _party_commands(party: str) -> Mapping[str, click.Command | str]:
    if party == "host":
        return HOST_COMMANDS
    for found in entry_points(group=ENTRY_POINT_GROUP, name=party):
        return cast("Mapping[str, click.Command | str]", _attribute(found.module, found.attr))
    raise Internal(
        f"no package offers the commands of {party!r}",
        why=f"there is no entry point {party!r} in the group {ENTRY_POINT_GROUP!r}",
        hint="install limosa again: pip install --force-reinstall limosa",
    )


def _find(commands: Mapping[str, click.Command | str], row: Row) -> click.Command:
    """The row's own entry ("rollout start"), or its verb in the noun's group ("rollout")."""
    entry = commands.get(row.name, commands.get(row.path[0]))
    command = _resolved(entry) if isinstance(entry, str) else entry
    for verb in row.path[1:] if row.name not in commands else ():
        if isinstance(command, click.Group):
            command = command.commands.get(verb)
    if command is None or isinstance(command, click.Group):
        raise Internal(f"{row.party} does not have the command {row.name!r}")
    return command


def _resolved(reference: str) -> click.Command:
    module, _, attribute = reference.partition(":")
    return cast("click.Command", _attribute(module, attribute))


def _attribute(module: str, attribute: str) -> object:
    found: object = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise Internal(f"{module} has no {attribute!r}", where=module)
    return found


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from limosa_contracts.cli_learn import version_line

        click.echo(version_line())
        ctx.exit()
