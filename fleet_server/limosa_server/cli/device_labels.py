"""`limosa device label`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.token import path_part
from limosa_server.client import Client, server_options

PATH = "/api/v1/devices"


@command(
    "label",
    examples=["limosa device label dev-0017 site=hq tier=gold", "limosa device label dev-0017 tier-"],
)
@click.argument("device")
@click.argument("labels", nargs=-1, required=True)
@server_options
@json_option
def label(
    device: str, labels: tuple[str, ...], server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Set labels of a device with KEY=VALUE, take them away with KEY-.

    An operator's label goes before what the device or its enrolment token says; without it theirs holds
    again.
    """
    wanted = changes(labels)
    with Client.of(server, token, ca) as client:
        changed = client.patch(f"{PATH}/{path_part(device)}/labels", {"labels": wanted})
    answer(changed, as_json=as_json, text=lambda: f"{device}: {_shown(changed)}")


def changes(words: tuple[str, ...]) -> dict[str, str | None]:
    """key -> value, None to take it away. Raises Usage.

    >>> changes(("site=hq", "old-"))
    {'site': 'hq', 'old': None}
    """
    found: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key:
            found[key] = value
        elif not equals and word.endswith("-") and len(word) > 1:
            found[word[:-1]] = None
        else:
            raise Usage(
                f"{word[:80]!r} is neither KEY=VALUE nor KEY-", where="LABELS", hint="site=hq, or old-"
            )
    return found


def _shown(device: JsonObject) -> str:
    labels = device["labels"]
    if not isinstance(labels, Mapping) or not labels:
        return "no labels"
    return ",".join(f"{key}={value}" for key, value in labels.items())
