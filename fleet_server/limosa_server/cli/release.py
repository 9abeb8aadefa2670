"""`limosa release …`"""

from __future__ import annotations

import datetime

import click

from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import ReleaseName
from limosa_server.cli.release_stages import gate_lines
from limosa_server.cli.wording import so_many
from limosa_server.client import Client, server_options

PATH = "/api/v1/releases"


@command(
    "list", examples=["limosa release list", "limosa release list --model demo/motion --stage production"]
)
@click.option("--model", default="", help="Only of this team/model.")
@click.option(
    "--stage",
    type=click.Choice(["staging", "production", "archived"]),
    default=None,
    help="Only of this stage.",
)
@server_options
@json_option
def list_releases(
    model: str, stage: str | None, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """List the releases the server holds, newest first."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(PATH, model=model, stage=stage))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["RELEASE", "STAGE", "RUNS ON", "SIZE", "PUBLISHED"], [_row(one) for one in found]
        ),
    )


@command("show", examples=["limosa release show demo/motion@1.0.0"])
@click.argument("release")
@server_options
@json_option
def show(release: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Show a release and its variants."""
    name = ReleaseName.parse(release)
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{name.name.team}/{name.name.model}/{name.version}")
    answer(found, as_json=as_json, text=lambda: _text(found))


def _row(one: JsonObject) -> list[str]:
    return [
        f"{one['name']}@{one['version']}",
        _stage(one),
        str(one["devices"]),
        _size(one["size_bytes"]),
        _day(one["published_at"]),
    ]


def _text(found: JsonObject) -> str:
    variants = found["variants"]
    assert isinstance(variants, list)
    back = found["may_return_to"]
    assert isinstance(back, list)
    lines = [
        f"{found['name']}@{found['version']}  {_stage(found)}",
        *_retracted(found),
        f"published   {_day(found['published_at'])} by {found['published_by']}",
        f"index       sha256:{found['index_sha256']}",
        f"returns to  {', '.join(str(one) for one in back) or 'nothing: a device that commits it stays'}",
        f"runs on     {so_many(found['devices'])}",
        *(["production asks for", *gate_lines(found)] if found["gate"] else []),
        "",
    ]
    rows = [
        [
            str(one["name"]),
            str(one["precision"]),
            _size(one["size_bytes"]),
            str(one["manifest_sha256"])[:16] + "…",
        ]
        for one in variants
        if isinstance(one, dict)
    ]
    return "\n".join(lines) + columns(["VARIANT", "PRECISION", "SIZE", "MANIFEST"], rows)


def _stage(one: JsonObject) -> str:
    return str(one["stage"]) if one["retracted"] is None else "retracted"


def _retracted(found: JsonObject) -> list[str]:
    said = found["retracted"]
    if not isinstance(said, dict):
        return []
    return [f"retracted   {_day(said['at'])} by {said['by']}: {said['reason']}"]


def _size(value: object) -> str:
    size = float(value) if isinstance(value, (int, float)) else 0.0
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _day(value: object) -> str:
    at = float(value) if isinstance(value, (int, float)) else 0.0
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
