"""`limosa device …`"""

from __future__ import annotations

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable, progress
from limosa_contracts.duration import parse_duration
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject, objects
from limosa_server.cli.device_cells import (
    CELLS,
    TITLES,
    cell,
    columns_of,
    groups,
    labels_of,
    link,
    runs,
    seen,
)
from limosa_server.cli.device_filter import device_filter_options, filter_of
from limosa_server.cli.group import NOBODY
from limosa_server.cli.group import PATH as GROUPS
from limosa_server.cli.times import second
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options
from limosa_server.fleet.device_states import ORDERS, SORTS

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
    examples=[
        "limosa device list",
        "limosa device list --selector 'site in (lab,hq)' --state trouble",
        "limosa device list --sort last_seen --columns device,seen,serial,label.site",
    ],
)
@device_filter_options
@click.option("--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True)
@click.option("--order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True)
@click.option("--columns", "shown", default="", help=f"Of {', '.join(CELLS)} and label.NAME.")
@server_options
@json_option
def list_devices(
    state: str,
    label: str,
    selector: str,
    group: str,
    version: str,
    search: str,
    sort: str,
    order: str,
    shown: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """List devices and what they run."""
    if label:
        parse_labels((label,))
    names = columns_of(shown)
    query = filter_of(
        state=state, label=label, selector=selector, group=group, version=version, q=search,
        sort=sort, order=order,
    )  # fmt: skip
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH, **query))
        if group and not found:
            # A name that is mistyped is an error, not an empty fleet.
            client.get(f"{GROUPS}/{path_part(group)}")
    if (label or selector) and not found:
        progress(NOBODY)
    if version and not found:
        progress(f"note: no device runs {version} now: limosa release list")
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            [TITLES.get(name, name.upper()) for name in names],
            [[cell(one, name) for name in names] for one in found],
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


def _ended(device: JsonObject) -> list[list[str]]:
    """When and why somebody took it out of the fleet, where somebody has."""
    if device["ended_at"] is None:
        return []
    return [["ended", f"{second(device['ended_at'])}  {printable(str(device['ended_reason']))}".rstrip()]]


def _why(device: JsonObject) -> list[list[str]]:
    """What the device says of the last update of each model, where it says anything."""
    return [
        ["", printable(f"{one['model']}: {one['reason']}")]
        for one in objects(device["models"])
        if one["reason"]
    ]


def _pinned(device: JsonObject) -> list[list[str]]:
    held = objects(device.get("pinned"))
    return [["pinned", printable(f"for {one['model']}: {one['why']}")] for one in held]


def _page(device: JsonObject) -> str:
    facts = columns(
        ["", ""],
        [
            ["device", str(device["id"])],
            ["link", link(device)],
            ["last seen", seen(device)],
            *_ended(device),
            ["enrolled", second(device["enrolled_at"])],  # new hardware's since it is this device
            ["serial", printable(str(device["serial"])) or "-"],
            ["agent", printable(str(device["agent"])) or "-"],
            ["profile", printable(str(device["profile"])) or "-"],
            ["labels", labels_of(device) or "-"],
            ["groups", printable(groups(device))],
            ["runs", printable(runs(device))],
            *_why(device),
            *_pinned(device),
        ],
    )
    events = objects(device["events"])
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
