"""`limosa device pin | unpin | pins`"""

from __future__ import annotations

from urllib.parse import quote

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.times import minute
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options

PATH = "/api/v1/devices"
model_option = click.option("--model", default="", help="Only for this team/model; left out: every model.")


@command(
    "pin",
    examples=[
        "limosa device pin dev-0017 --reason 'customer demo on Friday' --for 7d",
        "limosa device pin dev-0017 --reason 'reference unit' --model demo/motion",
    ],
)
@click.argument("device")
@click.option("--reason", required=True, help="Why; people and plans see it.")
@click.option("--for", "lasts", default="", help="How long, e.g. 12h or 7d; left out: until it is unpinned.")
@model_option
@server_options
@json_option
def pin(
    device: str,
    reason: str,
    lasts: str,
    model: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Keep a device out of rollouts, by name.

    Rollouts that have not reached it leave it out; what it was offered before goes on.
    """
    given = {"reason": reason, "for": lasts, "model": model}
    body: JsonObject = {name: value for name, value in given.items() if value or name == "reason"}
    with Client.of(server, token, ca) as client:
        made = client.put(f"{PATH}/{path_part(device)}/pin", body)
    answer(made, as_json=as_json, text=lambda: f"device {device} is pinned{_until(made)}")


@command(
    "unpin",
    examples=["limosa device unpin dev-0017", "limosa device unpin dev-0017 --model demo/motion"],
)
@click.argument("device")
@model_option
@server_options
@json_option
def unpin(
    device: str, model: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Let rollouts have a device again, from the next one on."""
    chosen = f"?model={quote(model, safe='')}" if model else ""
    with Client.of(server, token, ca) as client:
        gone = client.delete(f"{PATH}/{path_part(device)}/pin{chosen}")
    answer(gone, as_json=as_json, text=lambda: f"device {device} is pinned no more")


@command("pins", examples=["limosa device pins", "limosa device pins --model demo/motion --json"])
@click.option("--model", default="", help="Only those that hold for this team/model.")
@server_options
@json_option
def pins(model: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List the devices that are pinned, why and until when."""
    with Client.of(server, token, ca) as client:
        found = list(client.every("/api/v1/pins", model=model))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["DEVICE", "MODEL", "UNTIL", "BY", "REASON"],
            [
                [
                    str(one["device"]),
                    str(one["model"]) or "all",
                    "ended" if one["ended"] else minute(one["until"]) if one["until"] else "unpinned",
                    printable(str(one["by"])),
                    printable(str(one["reason"])),
                ]
                for one in found
            ],
        ),
    )


def _until(pin: JsonObject) -> str:
    until = pin["until"]
    return f" until {minute(until)}" if until is not None else " until it is unpinned"
