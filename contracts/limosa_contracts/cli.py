"""The command-line host: the one place of this package that does I/O.

For the parties
---------------
A party's package has `commands.py` (its entry point in the group `limosa.commands`) with

    COMMANDS: Mapping[str, click.Command | str] = {
        "build": "limosa_compiler.cli_build:build",        # lazy, preferred: "module:attribute"
        "rollout": "limosa_server.cli_rollout:rollout",    # a Group; its verbs are found by name
        "rollout plan": "limosa_server.cli_plan:plan",     # or verb by verb
    }

Each name stands in `command_table.TABLE` with its summary and an example; a noun's group carries no
options of its own (only its verbs are used). Keep `commands.py` free of third-party imports, and
import heavy libraries inside the modules named there: what is missing becomes LM-101 with a hint.

    from limosa_contracts.cli import answer, columns, command, group, json_option, progress

    @command("inspect", examples=["limosa inspect motion-1.0.0.limosa", "limosa inspect F --json  # all"])
    @click.argument("artifact", type=click.Path(path_type=Path))
    @json_option                                           # adds --json as `as_json: bool`
    def inspect(artifact: Path, as_json: bool) -> int | None:
        "Say what is in an artifact, and why."             # the first paragraph stands above the examples
        progress("reading …")                              # stderr
        answer(value, as_json=as_json, text=lambda: columns(["NAME", "SIZE"], rows))       # stdout
        return 3                                           # exit code; None is 0

    @group("rollout")                                      # then @rollout.command("start", examples=[…])

Errors: raise a LimosaError; its exit code is the command's, its text goes to stderr in one form, and
with `--json` `{"error": {code, what, where, why, hint, evidence}}` is the last line of stdout. For
"the answer is no" either raise a VerdictError or answer and return 3. Never print errors yourself.

Exit codes: 0 done or healthy, 1 failed, 2 usage, 3 verdict negative, 4 not authorised, 5 not trusted,
6 unreachable, 7 timed out, 130 interrupted.

For scripts of their own (limosa-agent): `sys.exit(run(my_group, prog_name="limosa-agent", extra="agent"))`.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import click
from click.exceptions import NoArgsIsHelpError

from limosa_contracts.cli_commands import Command, Group, command, group
from limosa_contracts.cli_errors import (
    debugging,
    from_click,
    from_import,
    from_unforeseen,
    render_error,
    report,
)
from limosa_contracts.cli_host import make_host
from limosa_contracts.cli_output import answer, colour_choice, columns, json_option, printable, progress
from limosa_contracts.command_table import extra_for
from limosa_contracts.errors import Interrupted, LimosaError

__all__ = [
    "Command",
    "Group",
    "answer",
    "colour_choice",
    "columns",
    "command",
    "group",
    "json_option",
    "main",
    "printable",
    "progress",
    "render_error",
    "run",
]


def main() -> None:
    """The `limosa` script."""
    sys.exit(run(make_host(), prog_name="limosa"))


def run(command: click.Command, *, prog_name: str, args: Sequence[str] | None = None, extra: str = "") -> int:
    """Carries out `command` and gives its exit code; every error is rendered, none escapes.

    `extra` is named when a module is missing; for `limosa` the table knows it.
    """
    words = list(sys.argv[1:] if args is None else args)
    completed = _shell_completion(command, prog_name)
    if completed is not None:
        return completed
    as_json = "--json" in words
    try:
        code = _invoke(command, prog_name, words)
        sys.stdout.flush()
        return code
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True, color=colour_choice())
        return error.exit_code
    except click.ClickException as error:
        return _failed(from_click(error), as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return _failed(Interrupted("interrupted"), as_json=as_json)
    except LimosaError as error:
        return _failed(error, as_json=as_json, cause=error)
    except ImportError as error:
        named = extra or extra_for(tuple(words))
        return _failed(from_import(error, extra=named), as_json=as_json, cause=error)
    except Exception as error:  # noqa: BLE001  # the process's outermost frame: what is unforeseen is reported
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return _quiet()
        return _failed(from_unforeseen(error), as_json=as_json, cause=error)


def _invoke(command: click.Command, prog_name: str, words: list[str]) -> int:
    try:
        with command.make_context(prog_name, words, color=colour_choice()) as context:
            result = command.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    return result if isinstance(result, int) else 0


def _failed(error: LimosaError, *, as_json: bool, cause: Exception | None = None) -> int:
    try:
        if cause is not None and debugging():
            click.echo("".join(traceback.format_exception(cause)), err=True, nl=False)
        report(error, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        _quiet()
    return error.exit_code


def _reader_is_gone() -> bool:
    """Whether stdout or stderr has lost its reader, as against some socket of the command."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream without a file descriptor has no reader to lose
            poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _quiet() -> int:
    """`limosa … | head` has read enough: say nothing, also when the interpreter flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # as above
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return 1


def _shell_completion(command: click.Command, prog_name: str) -> int | None:
    """The exit code if a shell asked for completions, else None."""
    variable = f"_{prog_name.replace('-', '_').upper()}_COMPLETE"
    instruction = os.environ.get(variable)
    if not instruction:
        return None
    from click.shell_completion import shell_complete

    try:
        return shell_complete(command, {}, prog_name, variable, instruction)
    except (LimosaError, ImportError):
        return 1  # a shell that asks for completions shows no error; there is nothing to complete
