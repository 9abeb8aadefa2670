"""`limosa server retention`"""

from __future__ import annotations

from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.times import day
from limosa_server.client import Client, server_options


@command("retention", examples=["limosa server retention", "limosa server retention --json"])
@server_options
@json_option
def retention(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List what is kept for how long, and when the oldest of it goes.

    The days are set when the server is started: --keep-windows, --keep-device-days, --keep-events.
    """
    with Client.of(server, token, ca) as client:
        items = client.get("/api/v1/server/retention").get("items")
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(["WHAT", "KEPT", "OLDEST", "GOES", "REMOVED"], [_row(one) for one in found]),
    )


def _row(one: JsonObject) -> list[str]:
    days = one["keep_days"]
    return [
        str(one["what"]),
        "for ever" if days is None else f"{days:g} days",
        day(one["oldest"]) if one["oldest"] else "",
        day(one["next_removal"]) if one["next_removal"] else "",
        str(one["removed"] or ""),
    ]
