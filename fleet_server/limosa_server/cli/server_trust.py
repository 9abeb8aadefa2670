"""`limosa server epoch|expiries|keys|root-ca|second-person`"""

from __future__ import annotations

from typing import Final

import click

from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.json_value import JsonValue, objects
from limosa_server.cli.times import day
from limosa_server.client import Client, server_options

PATH: Final = "/api/v1/server"


@command("epoch", examples=["limosa server epoch", "limosa server epoch bump --reason restored"])
@click.argument("action", type=click.Choice(["show", "bump"]), default="show")
@click.option("--reason", default="", help="Why; it stands in the audit trail.")
@server_options
@json_option
def epoch(
    action: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Show the director's epoch, or begin a new one.

    A new epoch is for after a disaster: the database was restored from a backup, or the director's key was
    replaced. Every device is sent its document anew; what they run goes on.
    """
    with Client.of(server, token, ca) as client:
        found = (
            client.post(f"{PATH}/epoch/bump", {"reason": reason})
            if action == "bump"
            else client.get(f"{PATH}/epoch")
        )
    answer(
        found,
        as_json=as_json,
        text=lambda: f"epoch {found['epoch']}; devices have seen {found['seen']}",
    )
    if action == "bump":
        progress("hint: the server signs every document anew now, 200 at a time")


@command("expiries", examples=["limosa server expiries", "limosa server expiries --json"])
@server_options
@json_option
def list_expiries(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List what ends and when: signed roles, certificates, the list of the revoked."""
    with Client.of(server, token, ca) as client:
        items = client.get(f"{PATH}/expiries").get("items")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    rows = [
        [
            str(one["severity"]).upper() if one["severity"] != "fine" else "",
            f"{one['what']} {one['name']}".strip(),
            day(one["ends_at"]),
            _days(one["left_s"]),
            str(one["remedy"]) if one["severity"] != "fine" else "",
        ]
        for one in found
    ]
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(["", "WHAT", "ENDS", "DAYS", "WHAT TO DO"], rows),
    )


@command("keys", examples=["limosa server keys"])
@server_options
@json_option
def list_keys(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List the keys and certificates in use, and since when."""
    with Client.of(server, token, ca) as client:
        items = client.get(f"{PATH}/keys").get("items")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    rows = [[str(one["name"]), str(one["id"])[:24], day(one["since"])] for one in found]
    answer({"items": list(found)}, as_json=as_json, text=lambda: columns(["NAME", "ID", "SINCE"], rows))


@command("root-ca", examples=["limosa server root-ca", "limosa server root-ca --json"])
@server_options
@json_option
def root_ca(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List the devices that do not have the newest root CA yet: without the former one they stay away."""
    with Client.of(server, token, ca) as client:
        answered = client.get(f"{PATH}/root-ca")
        found = list(client.every(f"{PATH}/root-ca"))
    rows = [
        [
            str(one["device"]),
            "online" if one["online"] else "offline",
            day(one["last_seen"]),
            str(one["root"])[:16] or "unknown",
            day(one["said_at"]) or "never",
        ]
        for one in found
    ]

    def text() -> str:
        roots = objects(answered.get("roots"))
        lines = [f"root CA {str(one['sha256'])[:16]}, until {day(one['expires'])}" for one in roots]
        lines.append(f"{answered['missing']} devices are not known to have the first")
        if rows:
            lines += ["", columns(["DEVICE", "LINK", "SEEN", "HAS", "SAID"], rows)]
        return "\n".join(lines)

    answer({**answered, "items": list(found), "next": None}, as_json=as_json, text=text)


@command("second-person", examples=["limosa server second-person"])
@server_options
@json_option
def second_person(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List what one person has asked for and a second must ask for too."""
    with Client.of(server, token, ca) as client:
        answered = client.get(f"{PATH}/second-person")
    items = answered.get("items")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    rows = [
        [str(one["action"]), str(one["object"]), str(one["asked_by"]), day(one["expires_at"])]
        for one in found
    ]
    answer(
        answered,
        as_json=as_json,
        text=lambda: columns(["ACTION", "ABOUT", "ASKED BY", "UNTIL"], rows) if rows else "nothing waits",
    )


def _days(left_s: JsonValue) -> str:
    return f"{left_s / 86400:.0f}" if isinstance(left_s, (int, float)) else ""
