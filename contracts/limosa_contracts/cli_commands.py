"""click's command and group, with this project's help: one sentence, examples, then the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(click.Command):
    """A command whose help begins with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attrs: Any) -> None:
        # click's own constructor is untyped in the same way: attributes pass through.
        attrs["context_settings"] = CONTEXT | (attrs.get("context_settings") or {})
        super().__init__(*args, **attrs)
        self.examples = tuple(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sentence, rest = split_help(self.help or "")
        self.format_usage(ctx, formatter)
        write_paragraphs(formatter, sentence)
        write_examples(formatter, self.examples)
        write_paragraphs(formatter, rest)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


class Group(click.Group):
    """A group whose commands are of the class above, and whose help begins with examples."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attrs: Any) -> None:
        attrs["context_settings"] = CONTEXT | (attrs.get("context_settings") or {})
        super().__init__(*args, **attrs)
        self.examples = tuple(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sentence, rest = split_help(self.help or "")
        self.format_usage(ctx, formatter)
        write_paragraphs(formatter, sentence)
        write_examples(formatter, self.examples)
        write_paragraphs(formatter, rest)
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)
        self.format_epilog(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if not ctx.resilient_parsing and args[0] not in known:
            near = get_close_matches(args[0], known, n=1)
            also = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{also}")
        return super().resolve_command(ctx, args)


def command(
    name: str, *, examples: Sequence[str], **attrs: Any
) -> Callable[[Callable[..., object]], click.Command]:
    """`click.command` with examples; everything else goes to click."""
    return click.command(name, cls=Command, examples=examples, **attrs)


def group(
    name: str, *, examples: Sequence[str] = (), **attrs: Any
) -> Callable[[Callable[..., object]], Group]:
    """`click.group` with examples; its `.command(name, examples=[…])` makes such commands."""
    return click.group(name, cls=Group, examples=examples, **attrs)


def split_help(text: str) -> tuple[str, str]:
    """First paragraph and the rest."""
    first, _, rest = inspect.cleandoc(text).partition("\f")[0].partition("\n\n")
    return first, rest


def write_paragraphs(formatter: click.HelpFormatter, text: str) -> None:
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Lines as they are typed; what follows `  # ` is dim at a terminal."""
    if not examples:
        return
    with formatter.section(heading("Examples")):
        for example in examples:
            typed, mark, remark = example.partition("  # ")
            formatter.write(f"{' ' * formatter.current_indent}{click.style(typed, fg='green')}")
            formatter.write(click.style(f"{mark}{remark}", dim=True) + "\n" if mark else "\n")


def heading(text: str) -> str:
    return click.style(text, bold=True)
