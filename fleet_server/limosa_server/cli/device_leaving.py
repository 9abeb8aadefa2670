"""`limosa device revoke | decommission | replace`."""

from __future__ import annotations

import click

from limosa_contracts.cli import answer, command, json_option, printable, progress
from limosa_contracts.duration import parse_duration
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.times import second
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options

PATH = "/api/v1/devices"


def left(device: str, row: JsonObject) -> str:
    """How it stands now, since when and why: of one that had left before, what was said then holds."""
    reason = f": {row['ended_reason']}" if row["ended_reason"] else ""
    return printable(f"device {device} has been {row['state']} since {second(row['ended_at'])}{reason}")


@command(
    "revoke",
    examples=["limosa device revoke dev-0017", "limosa device revoke dev-0017 --reason stolen --json"],
)
@click.argument("device")
@click.option("--reason", default="", help="Why, for the record.")
@server_options
@json_option
def revoke(
    device: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Shut a device out: it is disconnected, and nothing it says counts any more.

    It goes on running the model it has. `limosa device enroll-token --device NAME` lets it in again.
    """
    with Client.of(server, token, ca) as client:
        revoked = client.post(f"{PATH}/{path_part(device)}/revoke", {"reason": reason})
    answer(revoked, as_json=as_json, text=lambda: left(device, revoked))


@command("decommission", examples=["limosa device decommission dev-0017 --reason 'scrapped, water damage'"])
@click.argument("device")
@click.option("--reason", default="", help="Why, for the record.")
@server_options
@json_option
def decommission(
    device: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Take a device out for good: shut out, out of all groups and rollouts.

    Its record stays. The device is told when it next asks, and goes on with the models it has: on it,
    `limosa-agent uninstall` takes the agent away.
    """
    with Client.of(server, token, ca) as client:
        gone = client.post(f"{PATH}/{path_part(device)}/decommission", {"reason": reason})
    answer(gone, as_json=as_json, text=lambda: left(device, gone))


@command(
    "replace",
    examples=["limosa device replace dev-0017", "limosa device replace dev-0017 --serial 10000000abcdef01"],
)
@click.argument("device")
@click.option("--serial", default="", help="Only hardware with this serial number may use the token.")
@click.option("--expires", default="24h", show_default=True, help="For how long, e.g. 1h or 7d.")
@server_options
@json_option
def replace(
    device: str,
    serial: str,
    expires: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Make a token with which new hardware becomes this device.

    It keeps the name, the groups, the labels and what it shall run. The old hardware goes on until the
    token is used, and is shut out in that moment.
    """
    body: JsonObject = {"serial": serial, "expires_in_s": parse_duration(expires, where="--expires")}
    with Client.of(server, token, ca) as client:
        made = client.post(f"{PATH}/{path_part(device)}/replace", body)
    progress("hint: the token is not shown again; on the new hardware: limosa-agent enroll --token …")
    answer(made, as_json=as_json, text=lambda: str(made["token"]))
