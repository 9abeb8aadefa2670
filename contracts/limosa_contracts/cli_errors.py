"""Errors as people and programs see them: rendered here and nowhere else."""

from __future__ import annotations

import errno
import json
import os
import traceback
from pathlib import PurePath

import click

from limosa_contracts.cli_output import colour_choice, printable
from limosa_contracts.errors import Internal, LimosaError, MissingDependency, SystemRefused, Usage

OWN_PACKAGES = ("limosa_contracts", "limosa_compiler", "limosa_server", "limosa_agent", "limosa_devices")


def render_error(error: LimosaError) -> str:
    """The error as people read it: what, where, why, and a way out.

    >>> print(click.unstyle(render_error(Usage("no such command", hint="limosa --help"))))
    error[LM-415]: no such command
    hint: limosa --help      (see: limosa explain LM-415)
    """
    lines = [click.style(f"error[{error.code}]", fg="red", bold=True) + f": {_indented(error.what)}"]
    if error.where:
        lines.append(f"  where: {_indented(error.where)}")
    if error.why:
        lines.append(f"  why: {_indented(error.why)}")
    see = f"limosa explain {error.code}"
    hint = f"{_indented(error.hint)}      (see: {see})" if error.hint else see
    lines.append(click.style("hint", fg="cyan") + f": {hint}")
    return "\n".join(lines)


def report(error: LimosaError, *, as_json: bool) -> None:
    """Human text to stderr; with --json also `{"error": …}` as the last line of stdout."""
    click.echo(render_error(error), err=True, color=colour_choice())
    if as_json:
        click.echo(json.dumps({"error": error.as_json()}, sort_keys=True, ensure_ascii=False))


def from_click(error: click.ClickException) -> LimosaError:
    """A mistake on the command line, in this project's form."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else ""
    return Usage(
        error.format_message().rstrip("."), where=path, hint=f"{path} --help" if path else "limosa --help"
    )


def from_import(error: ImportError, *, extra: str) -> LimosaError:
    """A third party's module that is missing or too old; our own missing module is a defect."""
    missing = error.name or ""
    if not extra or missing.partition(".")[0] in OWN_PACKAGES:
        return from_unforeseen(error)
    return MissingDependency(
        f"this needs {missing.partition('.')[0] or 'a package'}, which is not installed",
        where=missing,
        why=str(error),
        hint=f'pip install "limosa[{extra}]"',
    )


def from_unforeseen(error: Exception) -> LimosaError:
    """What nobody mapped: the operating system's refusals by name, the rest as a defect."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in _REFUSALS:
        return SystemRefused(
            f"{error.strerror}: {error.filename}", where=str(error.filename), why=_REFUSALS[error.errno]
        )
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Internal(
        "something unforeseen happened",
        where=where,
        why=f"{type(error).__name__}: {error}",
        hint="" if debugging() else "run it again with LIMOSA_DEBUG=1 and report what it prints",
    )


def debugging() -> bool:
    return os.environ.get("LIMOSA_DEBUG") == "1"


_REFUSALS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "this user may not do that",
    errno.EPERM: "this user may not do that",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EISDIR: "it is a folder, a file is needed",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EEXIST: "it exists already",
}


def _indented(text: str) -> str:
    return printable(text).replace("\n", "\n    ")
