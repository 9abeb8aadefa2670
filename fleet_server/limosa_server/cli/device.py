"""`limosa device …`"""

from __future__ import annotations

from collections.abc import Mapping

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable, progress
from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.cli.times import minute, second
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options

PATH = "/api/v1/devices"


@command(
    "enroll-token",
    examples=[
        "limosa device enroll-token --group lab --label site=lab",
        "limosa device enroll-token --device dev-0017 --expires 1h --json",
    ],
)
@click.option("--device", default="", help="The id the device will have; the server draws one if left out.")
@click.option("--group", default="", help="Static group it joins.")
@click.option("--label", "labels", multiple=True, help="KEY=VALUE; repeatable.")
@click.option("--serial", default="", help="Only the device with this serial number may use it.")
@click.option("--expires", default="24h", show_default=True, help="For how long, e.g. 1h or 7d.")
@server_options
@json_option
def enroll_token(
    device: str,
    group: str,
    labels: tuple[str, ...],
    serial: str,
    expires: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Make a token with which one device joins, once."""
    named = {"device": device, "group": group, "serial": serial}
    body: JsonObject = {
        **{name: value for name, value in named.items() if value},
        "labels": parse_labels(labels),
        "expires_in_s": parse_duration(expires, where="--expires"),
    }
    with Client.of(server, token, ca) as client:
        made = client.post("/api/v1/enrollment-tokens", body)
    progress("hint: the token is not shown again; on the device: limosa-agent enroll --token …")
    answer(made, as_json=as_json, text=lambda: str(made["token"]))


@command(
    "list",
    examples=["limosa device list", "limosa device list --label site=lab", "limosa device list --json"],
)
@click.option("--label", default="", help="Only devices with this KEY=VALUE.")
@server_options
@json_option
def list_devices(label: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List devices and what they run."""
    if label:
        parse_labels((label,))
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH, label=label))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["DEVICE", "LINK", "RUNS", "LAST SEEN", "LABELS"],
            [[str(one["id"]), _link(one), _runs(one), _seen(one), _labels(one)] for one in found],
        ),
    )


@command("show", examples=["limosa device show dev-0017", "limosa device show dev-0017 --json"])
@click.argument("device")
@server_options
@json_option
def show(device: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Show one device and its last reports."""
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{path_part(device)}")
    answer(found, as_json=as_json, text=lambda: _page(found))


def parse_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Raises Usage.

    >>> parse_labels(("site=lab", "tier="))
    {'site': 'lab', 'tier': ''}
    """
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Usage(
                f"{pair[:80]!r} is not KEY=VALUE", where="--label", hint="for example --label site=lab"
            )
        labels[key] = value
    return labels


def _page(device: JsonObject) -> str:
    facts = columns(
        ["", ""],
        [
            ["device", str(device["id"])],
            ["link", _link(device)],
            ["last seen", _seen(device)],
            ["serial", printable(str(device["serial"])) or "-"],
            ["agent", printable(str(device["agent"])) or "-"],
            ["profile", printable(str(device["profile"])) or "-"],
            ["labels", _labels(device) or "-"],
            ["runs", _runs(device)],
        ],
    )
    events = _objects(device["events"])
    if not events:
        return facts
    said = columns(
        ["AT", "MODEL", "VERSION", "PHASE", "REASON"],
        [
            [
                second(one["at"]),
                str(one["model"]),
                str(one["version"]),
                str(one["phase"]),
                printable(str(one["reason"])),
            ]
            for one in events
        ],
    )
    return f"{facts}\n\n{said}"


def _link(device: JsonObject) -> str:
    if device["state"] != "active":
        return str(device["state"])
    return "online" if device["online"] else "offline"


def _seen(device: JsonObject) -> str:
    """A device whose link is up is seen now, however long it has had nothing to say."""
    return "now" if _link(device) == "online" else minute(device["last_seen"])


def _runs(device: JsonObject) -> str:
    models = _objects(device["models"])
    return ", ".join(f"{one['model']}@{one['active'] or '-'} {one['phase']}" for one in models) or "-"


def _labels(device: JsonObject) -> str:
    labels = device["labels"]
    return ",".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, Mapping) else ""


def _objects(value: JsonValue) -> list[JsonObject]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []
