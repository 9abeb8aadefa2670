"""`limosa token …`"""

from __future__ import annotations

import click

from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.duration import parse_duration
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.access.roles import ROLE_NAMES
from limosa_server.cli.times import day
from limosa_server.client import Client, server_options

PATH = "/api/v1/tokens"


@command(
    "create",
    examples=[
        "limosa token create --role operator --name alice",
        "limosa token create --role publisher --team demo --name ci --expires 90d --json",
        "limosa token create --role operator --group lab --name bob  # these devices and no others",
    ],
)
@click.option("--role", type=click.Choice(ROLE_NAMES), required=True)
@click.option("--name", default="", help="Whose it is; the role's name if left out.")
@click.option("--team", default="", help="Only for this team's models.")
@click.option("--group", default="", help="Only for this group's devices.")
@click.option("--expires", default="365d", show_default=True, help="For how long, e.g. 90d or 12h.")
@server_options
@json_option
def create(
    role: str,
    name: str,
    team: str,
    group: str,
    expires: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Make an API token with a role; it is shown once."""
    body: JsonObject = {
        "name": name or role,
        "role": role,
        "expires_in_s": parse_duration(expires, where="--expires"),
        **({"team": team} if team else {}),
        **({"group": group} if group else {}),
    }
    with Client.of(server, token, ca) as client:
        made = client.post(PATH, body)
    progress("hint: the token is not shown again")
    answer(made, as_json=as_json, text=lambda: str(made["token"]))


@command("list", examples=["limosa token list"])
@server_options
@json_option
def list_tokens(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List API tokens, without their secrets."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["ID", "NAME", "ROLE", "TEAM", "GROUP", "EXPIRES", "LAST USED", ""],
            [
                [
                    str(one["id"]),
                    str(one["name"]),
                    str(one["role"]),
                    str(one["team"]) or "(all)",
                    str(one["group"]) or "(all)",
                    day(one["expires_at"]),
                    day(one["last_used_at"]),
                    _mark(one["revoked_at"]),
                ]
                for one in found
            ],
        ),
    )


@command("revoke", examples=["limosa token revoke 7f3k2m9q0abc"])
@click.argument("token_id")
@server_options
@json_option
def revoke(token_id: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Make an API token invalid, at once."""
    with Client.of(server, token, ca) as client:
        revoked = client.delete(f"{PATH}/{path_part(token_id)}")
    answer(revoked, as_json=as_json, text=lambda: f"token {token_id} is revoked")


def path_part(text: str) -> str:
    """The text as one segment of a path."""
    from urllib.parse import quote

    return quote(text, safe="") or "-"


def _mark(revoked_at: JsonValue) -> str:
    return "revoked" if revoked_at is not None else ""
