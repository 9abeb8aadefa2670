"""`limosa alert …`"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import click

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonObject
from limosa_contracts.limits import LIMITS
from limosa_server.cli.times import minute
from limosa_server.client import Client, server_options

PATH: Final = "/api/v1/alerts"
WEBHOOKS: Final = "/api/v1/webhooks"


@command("list", examples=["limosa alert list", "limosa alert list --state resolved"])
@click.option(
    "--state", type=click.Choice(["open", "firing", "pending", "resolved", "all"]), default="open",
    show_default=True,
)  # fmt: skip
@server_options
@json_option
def list_alerts(state: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List alerts, newest first."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH, state=state))
    answer({"items": list(found)}, as_json=as_json, text=lambda: _alerts(found))


@command("show", examples=["limosa alert show 12"])
@click.argument("alert", type=int)
@server_options
@json_option
def show(alert: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Show one alert with its devices."""
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{alert}")
    answer(found, as_json=as_json, text=lambda: _alert(found))


@command("rules", examples=["limosa alert rules", "limosa alert rules > alerts.toml"])
@server_options
@json_option
def rules(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Print the rules in force as TOML, ready to be changed and set."""
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/rules")
    answer(found, as_json=as_json, text=lambda: rules_toml(found))


@command("set-rules", examples=["limosa alert set-rules alerts.toml"])
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@server_options
@json_option
def set_rules(file: Path, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Set all rules from a TOML file."""
    try:
        data = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidField("this is not TOML", where=str(file), why=str(error)) from error
    body = parse_object(encode_canonical(data), what="rules", max_bytes=LIMITS.document_max_bytes)
    with Client.of(server, token, ca) as client:
        found = client.put(f"{PATH}/rules", body)
    answer(found, as_json=as_json, text=lambda: f"revision {found['revision']} is in force")


@command("silences", examples=["limosa alert silences"])
@server_options
@json_option
def silences(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List what keeps alerts quiet now."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(f"{PATH}/silences"))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["ID", "UNTIL", "MATCHES", "WHY", "BY"],
            [
                [
                    str(one["id"]),
                    minute(one["until"]),
                    str(one["matcher"]),
                    str(one["reason"]),
                    str(one["created_by"]),
                ]
                for one in found
            ],
        ),
    )


@command(
    "silence",
    examples=["limosa alert silence 'rule=device-silent,site=lab' --for 4h --reason 'the lab moves'"],
)
@click.argument("matcher")
@click.option("--for", "for_", required=True, help="How long, e.g. 4h.")
@click.option("--reason", required=True, help="Why; whoever looks at the alert is told.")
@server_options
@json_option
def silence(
    matcher: str, for_: str, reason: str, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Keep alerts quiet whose labels match a selector; they are still shown."""
    with Client.of(server, token, ca) as client:
        made = client.post(f"{PATH}/silences", {"matcher": matcher, "reason": reason, "for": for_})
    answer(made, as_json=as_json, text=lambda: f"silence {made['id']} until {minute(made['until'])}")


@command("unsilence", examples=["limosa alert unsilence 3"])
@click.argument("silence_id", type=int)
@server_options
@json_option
def unsilence(silence_id: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """End a silence now."""
    with Client.of(server, token, ca) as client:
        ended = client.delete(f"{PATH}/silences/{silence_id}")
    answer(ended, as_json=as_json, text=f"silence {silence_id} has ended")


@command("webhooks", examples=["limosa alert webhooks"])
@server_options
@json_option
def webhooks(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List who is told of alerts, and whether they took the last message."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(WEBHOOKS))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["NAME", "TO", "FROM", "MATCHES", "DELIVERED", "WAITING", "FAILURE"],
            [
                [
                    str(one["name"]),
                    str(one["to"]),
                    str(one["severity"]),
                    str(one["matcher"]) or "all",
                    minute(one["delivered_at"]),
                    str(one["waiting"]),
                    str(one["failure"]),
                ]
                for one in found
            ],
        ),
    )


@command(
    "add-webhook",
    examples=["limosa alert add-webhook on-call https://hooks.example/limosa --severity warning"],
)
@click.argument("name")
@click.argument("url")
@click.option(
    "--severity", type=click.Choice(["info", "warning", "critical"]), default="info", show_default=True,
    help="The least that it is told.",
)  # fmt: skip
@click.option("--matching", default="", help="Only alerts whose labels match this selector.")
@server_options
@json_option
def add_webhook(
    name: str,
    url: str,
    severity: str,
    matching: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Tell a URL of alerts; prints the secret that its messages are signed with, once."""
    body: JsonObject = {"name": name, "url": url, "severity": severity, "matcher": matching}
    with Client.of(server, token, ca) as client:
        made = client.post(WEBHOOKS, body)
    progress(f"hint: the secret is not shown again; try it: limosa alert test-webhook {name}")
    answer(made, as_json=as_json, text=lambda: str(made["secret"]))


@command("remove-webhook", examples=["limosa alert remove-webhook on-call"])
@click.argument("name")
@server_options
@json_option
def remove_webhook(name: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Tell a URL nothing any more."""
    with Client.of(server, token, ca) as client:
        gone = client.delete(f"{WEBHOOKS}/{name}")
    answer(gone, as_json=as_json, text=f"{name} is told nothing any more")


@command("test-webhook", examples=["limosa alert test-webhook on-call"])
@click.argument("name")
@server_options
@json_option
def test_webhook(name: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Send a message of the kind `test`; `limosa alert webhooks` says what became of it."""
    with Client.of(server, token, ca) as client:
        sent = client.post(f"{WEBHOOKS}/{name}/test")
    answer(sent, as_json=as_json, text=f"on its way as {sent['message']}")


def rules_toml(found: JsonObject) -> str:
    """`[[rule]]` tables; what `set-rules` reads."""
    items = found["rule"]
    lines: list[str] = []
    for rule in items if isinstance(items, list) else []:
        assert isinstance(rule, dict)
        lines += ["[[rule]]", *(f"{key} = {_toml(value)}" for key, value in rule.items()), ""]
    return "\n".join(lines).rstrip()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _alerts(found: list[JsonObject]) -> str:
    if not found:
        return "no alerts"
    return columns(
        ["ID", "SEVERITY", "STATE", "SINCE", "WHAT"],
        [
            [
                str(one["id"]),
                str(one["severity"]),
                str(one["state"]) + (" (silenced)" if one["silence"] is not None else ""),
                minute(one["since"]),
                str(one["summary"]),
            ]
            for one in found
        ],
    )


def _alert(found: JsonObject) -> str:
    labels = found["labels"]
    devices = found["devices"]
    lines = [
        f"{found['summary']}",
        f"rule       {found['rule']} ({found['severity']})",
        f"state      {found['state']}",
        f"since      {minute(found['since'])}",
    ]
    if isinstance(labels, dict):
        lines += [f"{key:<10} {value}" for key, value in sorted(labels.items())]
    if found["detail"]:
        lines.append(f"why        {found['detail']}")
    if isinstance(devices, list) and devices:
        lines.append("devices    " + ", ".join(str(one) for one in devices))
    if found["silence"] is not None:
        lines.append(f"silenced   by {found['silence']}: limosa alert silences")
    return "\n".join(lines)
