"""`limosa-agent hold`, `release` and `rollback`: what an operator at the device decides."""

from __future__ import annotations

from pathlib import Path

import click

from limosa_agent.commands.options import config_option
from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

ASK_TIMEOUT_S = 120.0  # a rollback answers when the previous release does


@command(
    "hold",
    examples=[
        "limosa-agent hold",
        'limosa-agent hold --for 2h --reason "surgery in room 3"',
        "limosa-agent hold --model vision/detector --for 1d",
    ],
)
@click.option(
    "--for", "length", default="", metavar="TIME", help="how long, e.g. 90m, 2h, 7d; else until released"
)
@click.option("--model", default="", metavar="TEAM/MODEL", help="only this model; else all")
@click.option("--reason", default="", help="why, for whoever looks later")
@config_option
@json_option
def hold_command(length: str, model: str, reason: str, config: Path, as_json: bool) -> None:
    """Keep updates from being switched to: they wait, verified, before their self-test.

    Outlasts restarts and reboots. What is on trial already goes on, and a release that fails still gives
    way to the previous one.
    """
    from limosa_contracts.duration import parse_duration

    request: dict[str, JsonValue] = {"reason": reason, "model": model or None}
    if length:
        request["for_s"] = parse_duration(length, where="--for")
    value = _ask(config, "hold", request)
    answer(dict(value), as_json=as_json, text=lambda: held_text(value))


@command("release", examples=["limosa-agent release", "limosa-agent release --model vision/detector"])
@click.option("--model", default="", metavar="TEAM/MODEL", help="only this model's hold; else every hold")
@config_option
@json_option
def release_command(model: str, config: Path, as_json: bool) -> None:
    """Let updates go on that `limosa-agent hold` keeps back.

    Locks of applications end with the application, not by this.
    """
    value = _ask(config, "release", {"model": model or None})
    answer(dict(value), as_json=as_json, text=lambda: _released_text(value))


@command("rollback", examples=['limosa-agent rollback vision/detector --reason "blind in the rain"'])
@click.argument("model", metavar="TEAM/MODEL")
@click.option("--reason", default="", help="why, for the fleet's operators")
@config_option
@json_option
def rollback_command(model: str, reason: str, config: Path, as_json: bool) -> None:
    """Go back to the previous release of a model, now, and put the one that runs into quarantine.

    Needs no server and no network; the device reports it as a fall-back when it can.
    """
    value = _ask(config, "rollback", {"model": model, "reason": reason})

    def text() -> str:
        fields = Fields(value, where="answer")
        return (
            f"{model} answers with {fields.text('serves')} again; {fields.text('left')} is in quarantine here"
        )

    answer(dict(value), as_json=as_json, text=text)


def _ask(config: Path, op: str, request: JsonObject) -> JsonObject:
    from limosa_agent.config import AgentConfig
    from limosa_agent.control_socket import ask_agent

    return ask_agent(AgentConfig.load(config).control_socket, op, request, timeout_s=ASK_TIMEOUT_S)


def _released_text(value: JsonObject) -> str:
    fields = Fields(value, where="answer")
    names = ["all models" if name == "*" else name for name in fields.texts("released")]
    head = f"released: {', '.join(names)}" if names else "nothing was released: no such hold"
    if not names and any(
        Fields(item, where=place).text("scope") == "*" for place, item in fields.items("holds")
    ):
        head += "; the hold of all models ends by limosa-agent release without --model"
    return f"{head}\n{held_text(value)}"


def held_text(value: JsonObject) -> str:
    """What holds updates back, a line each."""
    from datetime import UTC, datetime

    fields = Fields(value, where="answer")
    lines = []
    for place, item in fields.items("holds"):
        one = Fields(item, where=place)
        scope = one.text("scope")
        until = one.maybe("until", one.number)
        when = f"until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC" if until else "until released"
        why = one.text("reason", empty=True)
        lines.append(f"{'all models' if scope == '*' else scope} held {when}" + (f": {why}" if why else ""))
    lines += [f"all models held by an application: {name}" for name in fields.texts("locks")]
    return "\n".join(lines) or "nothing holds updates back"
