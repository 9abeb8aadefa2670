"""`limosa device logs | status | identify`: asks a device that is connected, and waits for its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable, progress
from limosa_contracts.device_command import LEVELS, LINES_DEFAULT, LINES_MAX
from limosa_contracts.duration import parse_duration
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options
from limosa_server.errors import CommandRefused, NoAnswer

LOOK_EVERY_S: Final = 0.25
SLOW_S: Final = 3.0  # then a person is told what is waited for
EXPIRES: Final = click.option(
    "--expires", default="2m", show_default=True, help="Wait so long for the answer: 60s to 300s."
)


@command(
    "logs",
    examples=["limosa device logs dev-0017", "limosa device logs dev-0017 --lines 200 --level warning"],
)
@click.argument("device")
@click.option("--lines", default=LINES_DEFAULT, show_default=True, type=click.IntRange(1, LINES_MAX))
@click.option("--level", type=click.Choice(LEVELS), default=LEVELS[0], help="The least that is shown.")
@click.option("--model", default="", help="Only lines about this model.")
@click.option("--since", default="", help="Not before this time stamp, as the log has it.")
@EXPIRES
@server_options
@json_option
def logs(
    device: str,
    lines: int,
    level: str,
    model: str,
    since: str,
    expires: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Read the newest lines of a device's log."""
    named = {"model": model, "since": since}
    body: JsonObject = {
        "kind": "logs", "lines": lines, "level": level, **{name: text for name, text in named.items() if text}
    }  # fmt: skip
    with Client.of(server, token, ca) as client:
        said = ask(client, device, body, expires=expires)
    answer(said, as_json=as_json, text=lambda: _log(said))


@command("status", examples=["limosa device status dev-0017", "limosa device status dev-0017 --json"])
@click.argument("device")
@EXPIRES
@server_options
@json_option
def status(
    device: str, expires: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Ask a device what it serves and what it waits for, now."""
    with Client.of(server, token, ca) as client:
        said = ask(client, device, {"kind": "status"}, expires=expires)
    answer(said, as_json=as_json, text=lambda: _status(said))


@command("identify", examples=["limosa device identify dev-0017"])
@click.argument("device")
@EXPIRES
@server_options
@json_option
def identify(
    device: str, expires: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Let a device make itself noticed, and say its host name."""
    with Client.of(server, token, ca) as client:
        said = ask(client, device, {"kind": "identify"}, expires=expires)
    answer(said, as_json=as_json, text=lambda: _identified(device, _body(said)))


def ask(
    client: Client,
    device: str,
    body: JsonObject,
    *,
    expires: str,
    clock: Callable[[], float] = time.monotonic,
) -> JsonObject:
    """The command with its answer. Raises DeviceOffline, CommandRefused, NoAnswer."""
    path = f"/api/v1/devices/{path_part(device)}/commands"
    life_s = int(parse_duration(expires, where="--expires"))
    asked = client.post(path, {**body, "expires_in_s": life_s})
    began, told = clock(), False
    while True:
        found = client.get(f"{path}/{asked['id']}")
        match found["state"]:
            case "done":
                return found
            case "refused":
                raise CommandRefused(f"{device} refuses", where=f"device {device}", why=str(found["why"]))
            case "no_answer":
                raise NoAnswer(f"{device} did not answer", where=f"device {device}", why=f"in {life_s} s")
            case _:
                pass
        if clock() - began > SLOW_S and not told:
            progress(f"waiting for {device}; it has until {life_s} s after the question")
            told = True
        time.sleep(LOOK_EVERY_S)


def _body(said: JsonObject) -> JsonObject:
    found = said.get("answer")
    return found if isinstance(found, dict) else {}


def _log(said: JsonObject) -> str:
    lines = _body(said).get("lines")
    shown = [_line(line) for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
    if said.get("cut") is True:
        shown.insert(0, "(older lines did not fit into one message)")
    return "\n".join(shown) or "no such lines"


def _line(line: JsonObject) -> str:
    """As `limosa-agent logs` shows it, and nothing of it steers a terminal."""
    place = " ".join(str(line[name]) for name in ("part", "model", "rollout") if line.get(name))
    text = f"{line.get('time', '')} {line.get('level', '')} {place}: {line.get('message', '')}"
    return printable(text.replace("\n", "\\n"))


def _status(said: JsonObject) -> str:
    body = _body(said)
    models = body.get("models")
    facts = [
        [name.replace("_", " "), printable(_plain(body[name]))]
        for name in ("agent", "listen", "mqtt", "clock", "failing", "requests_lost", "disk_free_bytes")
        if name in body
    ]
    rows = [
        [
            printable(_plain(model.get(name))) or "-"
            for name in ("model", "serving", "wanted", "phase", "message")
        ]
        for model in (models if isinstance(models, list) else [])
        if isinstance(model, dict)
    ]
    table = columns(["MODEL", "SERVES", "WANTED", "PHASE", "WHY"], rows)
    return columns(["", ""], facts) + (f"\n\n{table}" if rows else "\n\nno model yet")


def _identified(device: str, body: JsonObject) -> str:
    program = {
        "ran": "it shows itself now",
        "failed": "its program failed",
        "none": "it has no program to show itself",
    }
    how = program.get(str(body.get("program")), "")
    said = f": {printable(str(body['said']))}" if body.get("said") else ""
    return f"{device} is {printable(str(body.get('hostname', '')))}; {how}{said}"


def _plain(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value) or "-"
    return "" if value is None else str(value)
