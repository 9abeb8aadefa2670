"""`limosa-agent logs`: what the agent wrote down, also while it does not run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, colour_choice, command, json_option, printable
from limosa_contracts.duration import parse_duration
from limosa_contracts.json_value import JsonObject

COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}


@command(
    "logs",
    examples=[
        "limosa-agent logs",
        "limosa-agent logs --level warning --since 2d",
        "limosa-agent logs --model demo/motion --follow",
    ],
)
@click.option(
    "--lines", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many."
)
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="debug",
    help="Only lines at least this grave.",
)
@click.option("--model", default="", metavar="TEAM/MODEL", help="Only lines about this model.")
@click.option("--since", default="", metavar="TIME", help="Only lines this young: 90s, 15m, 2h, 3d.")
@click.option("--follow", is_flag=True, help="Go on with what is written from now on, until interrupted.")
@config_option
@json_option
def logs_command(
    lines: int, level: str, model: str, since: str, follow: bool, config: Path, as_json: bool
) -> None:
    """Print the newest lines of the agent's log.

    The files are read as they are, so this works when the agent is down. With --json and --follow, one
    JSON object per line.
    """
    from limosa_agent.config import AgentConfig
    from limosa_agent.logs import reading
    from limosa_agent.logs.line import stamp

    state_dir = AgentConfig.load(config).state_dir
    oldest = stamp(time.time() - parse_duration(since, where="--since")) if since else ""
    wanted = reading.Wanted(level=level, model=model, since=oldest)
    found = reading.newest(state_dir, wanted, lines=lines)
    if not follow:
        answer({"lines": list(found)}, as_json=as_json, text=lambda: _text(found))
        return
    show = json.dumps if as_json else shown
    for line in found:
        click.echo(show(line), color=colour_choice())
    for line in reading.follow(state_dir, wanted):
        click.echo(show(line), color=colour_choice())


def _text(found: list[JsonObject]) -> str:
    return (
        "\n".join(shown(line) for line in found)
        or "no such line: nothing of it happened, or `[log] files` is 0"
    )


def shown(line: JsonObject) -> str:
    """One line for people: time, level, part, what it is about, the message, the traceback below."""
    level = str(line.get("level", ""))
    words = [str(line.get("time", "")).replace("T", " "), f"{level:7}"]
    words += [str(line[name]) for name in ("part", "model", "rollout") if line.get(name)]
    trace = str(line.get("trace", ""))
    text = printable(f"{' '.join(words)}: {line.get('message', '')}" + (f"\n{trace}" if trace else ""))
    return click.style(text, fg=COLOURS[level]) if level in COLOURS else text
