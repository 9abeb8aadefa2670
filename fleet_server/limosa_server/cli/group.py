"""`limosa group …`"""

from __future__ import annotations

from typing import Final

import click

from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.token import path_part
from limosa_server.cli.wording import so_many
from limosa_server.client import Client, server_options

PATH = "/api/v1/groups"
NOBODY: Final = (
    "note: no device has such labels now; which they have: limosa device list --columns device,labels"
)


@command(
    "create",
    examples=[
        "limosa group create canary --device dev-0017 --device dev-0018",
        "limosa group create hq --selector 'site in (hq,lab),!old'  # follows labels",
    ],
)
@click.argument("name")
@click.option("--selector", default="", help="Labels in Kubernetes' grammar; none: a static group.")
@click.option("--device", "devices", multiple=True, help="A first device of a static group; repeatable.")
@click.option("--description", default="", help="What it is for.")
@server_options
@json_option
def create(
    name: str,
    selector: str,
    devices: tuple[str, ...],
    description: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Make a group, static or by label selector."""
    body: JsonObject = {
        "name": name,
        "description": description,
        **({"selector": selector} if selector else {}),
        **({"devices": list(devices)} if devices else {}),
    }
    with Client.of(server, token, ca) as client:
        group = client.post(PATH, body)
    if selector and not group["devices"]:
        progress(NOBODY)
    answer(group, as_json=as_json, text=lambda: f"group {name}: {so_many(group['devices'])}")


@command("list", examples=["limosa group list", "limosa group list --json"])
@server_options
@json_option
def list_groups(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List groups."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["NAME", "DEVICES", "SELECTOR", "DESCRIPTION"],
            [
                [
                    str(one["name"]),
                    str(one["devices"]),
                    str(one["selector"]) or "(static)",
                    str(one["description"]),
                ]
                for one in found
            ],
        ),
    )


@command("show", examples=["limosa group show canary"])
@click.argument("name")
@server_options
@json_option
def show(name: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Show a group and its devices."""
    with Client.of(server, token, ca) as client:
        group = client.get(f"{PATH}/{name}")
        devices = [str(one["device"]) for one in client.every(f"{PATH}/{name}/devices")]
    how = f"selector {group['selector']}" if group["selector"] else "static"
    answer(
        {**group, "members": list(devices)},
        as_json=as_json,
        text=lambda: "\n".join([f"group {name} ({how}), {so_many(len(devices))}", *devices]),
    )


@command("add", examples=["limosa group add canary dev-0017 dev-0018"])
@click.argument("name")
@click.argument("devices", nargs=-1, required=True)
@server_options
@json_option
def add(
    name: str, devices: tuple[str, ...], server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Add devices to a static group."""
    with Client.of(server, token, ca) as client:
        group = client.post(f"{PATH}/{name}/devices", {"devices": list(devices)})
    answer(group, as_json=as_json, text=lambda: f"group {name}: {so_many(group['devices'])}")


@command("remove", examples=["limosa group remove canary dev-0017"])
@click.argument("name")
@click.argument("devices", nargs=-1, required=True)
@server_options
@json_option
def remove(
    name: str, devices: tuple[str, ...], server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Remove devices from a static group."""
    with Client.of(server, token, ca) as client:
        group = client.post(f"{PATH}/{name}/devices/remove", {"devices": list(devices)})
    answer(group, as_json=as_json, text=lambda: f"group {name}: {so_many(group['devices'])}")


@command(
    "set",
    examples=[
        "limosa group set hq --selector 'site in (hq,lab),!old'",
        "limosa group set canary --description 'first to get a release'",
    ],
)
@click.argument("name")
@click.option("--selector", default=None, help="Another selector; its members are found at once.")
@click.option("--description", default=None, help="What it is for.")
@server_options
@json_option
def change(
    name: str,
    selector: str | None,
    description: str | None,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Change a group's selector or description."""
    given = {"selector": selector, "description": description}
    body: JsonObject = {key: value for key, value in given.items() if value is not None}
    with Client.of(server, token, ca) as client:
        group = client.patch(f"{PATH}/{path_part(name)}", body)
    answer(group, as_json=as_json, text=lambda: f"group {name}: {so_many(group['devices'])}")


@command("delete", examples=["limosa group delete canary"])
@click.argument("name")
@server_options
@json_option
def delete(name: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Take a group away; its devices stay in the fleet."""
    with Client.of(server, token, ca) as client:
        gone = client.delete(f"{PATH}/{path_part(name)}")
    answer(gone, as_json=as_json, text=lambda: f"group {name} is gone")
