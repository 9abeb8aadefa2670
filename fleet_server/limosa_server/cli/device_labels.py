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
    answer(
        changed, as_json=as_json, text=lambda: f"{device}: {_shown(changed)}{_still_there(changed, wanted)}"
    )


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


def _still_there(device: JsonObject, wanted: Mapping[str, str | None]) -> str:
    """A line for each label that was taken away and is there all the same: others than operators say it."""
    labels, sources = device["labels"], device["label_sources"]
    if not isinstance(labels, Mapping) or not isinstance(sources, Mapping):
        return ""
    left = [key for key, value in wanted.items() if value is None and key in labels]
    whose = {"token": "its enrolment token says", "device": "the device itself says"}
    return "".join(
        f"\n{key}={labels[key]} is what {whose.get(str(sources[key]), str(sources[key]))}, and holds;"
        f" another value goes before it: {key}=VALUE"
        for key in left
    )


def _shown(device: JsonObject) -> str:
    labels = device["labels"]
    if not isinstance(labels, Mapping) or not labels:
        return "no labels"
    return ",".join(f"{key}={value}" for key, value in labels.items())
