"""The host's own commands: explain, completion, version."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import platform
from importlib.metadata import entry_points
from importlib.metadata import version as distribution_version
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from limosa_contracts.cli_commands import command
from limosa_contracts.cli_output import answer, json_option
from limosa_contracts.errors import (
    FaultError,
    LimosaError,
    NotFound,
    RequestError,
    TransferError,
    TrustError,
    VerdictError,
    known_errors,
)

ERRORS_GROUP = "limosa.errors"
NEXT = {
    TrustError: "Refuse; trying again changes nothing.",
    TransferError: "Try again: it may work later.",
    RequestError: "Change the request; trying again as it is changes nothing.",
    VerdictError: "The question was understood; the answer is no.",
    FaultError: "Mend this machine or installation, then try again.",
}


@command("explain", examples=["limosa explain LM-203", "limosa explain  # lists every code"])
@click.argument("code", required=False)
@json_option
def explain(code: str | None, as_json: bool) -> None:
    """Say what an error code means and what to do."""
    errors = all_errors()
    if code is None:
        listed = {known: error.summary for known, error in sorted(errors.items())}
        answer(listed, as_json=as_json, text="\n".join(f"{known}  {text}" for known, text in listed.items()))
        return
    wanted = code.upper() if code.upper().startswith("LM-") else f"LM-{code}"
    if wanted not in errors:
        raise NotFound(f"there is no error code {code!r}", where="code", hint="limosa explain")
    error = errors[wanted]
    answer(
        {
            "code": wanted,
            "name": error.__name__,
            "summary": error.summary,
            "about": about(error),
            "next": next_step(error),
            "exit_code": error.exit_code,
            "http_status": error.http_status,
            "hint": error.default_hint,
        },
        as_json=as_json,
        text=lambda: _as_text(error),
    )


@command("completion", examples=['eval "$(limosa completion bash)"', "limosa completion fish | source"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--program", type=click.Choice(["limosa", "limosa-agent"]), default="limosa", show_default=True)
def completion(shell: str, program: str) -> None:
    """Print the script that completes commands in a shell."""
    found = get_completion_class(shell)
    if found is None:
        raise NotFound(f"there is no completion for {shell!r}", where="shell")
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    click.echo(found(click.Command(program), {}, program, variable).source())


@command("version", examples=["limosa version", "limosa version --json"])
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    answer(
        {"limosa": distribution_version("limosa"), "python": platform.python_version()},
        as_json=as_json,
        text=version_line(),
    )


def version_line() -> str:
    return f"limosa {distribution_version('limosa')} (Python {platform.python_version()})"


def all_errors() -> dict[str, type[LimosaError]]:
    """Every error class of every party, by code: those in modules named `errors`.

    These modules import no third party's library, so an error is explained where it was met.
    """
    for package in (__package__, *(found.module for found in entry_points(group=ERRORS_GROUP))):
        for module in _errors_modules(package):
            importlib.import_module(module)
    return {code: error for code, error in known_errors().items() if error.__module__.endswith(".errors")}


def _errors_modules(package: str) -> list[str]:
    """Dotted names of the package's modules that are called `errors`, at any depth."""
    spec = importlib.util.find_spec(package)
    return [
        ".".join((package, *path.relative_to(folder).with_suffix("").parts))
        for folder in (spec.submodule_search_locations or () if spec else ())
        for path in sorted(Path(folder).rglob("errors.py"))
    ]


def about(error: type[LimosaError]) -> str:
    """What the class itself says beyond its summary, "" where it says nothing."""
    return inspect.cleandoc(error.__dict__.get("__doc__") or "")


def next_step(error: type[LimosaError]) -> str:
    return next((text for family, text in NEXT.items() if issubclass(error, family)), "")


def _as_text(error: type[LimosaError]) -> str:
    lines = [f"{click.style(error.code, bold=True)}: {error.summary}", ""]
    if about(error):
        lines += [about(error), ""]
    lines.append(f"  next:    {next_step(error)}")
    lines.append(f"  exit:    {error.exit_code}")
    lines.append(f"  HTTP:    {error.http_status}")
    if error.default_hint:
        lines.append(f"  hint:    {error.default_hint}")
    return "\n".join(lines)
