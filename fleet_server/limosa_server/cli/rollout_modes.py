"""`limosa rollout report|promote`: what a shadow or a comparison has shown, and what follows (rollouts 6)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.ladder import ladder
from limosa_server.cli.rollout_number import ROLLOUT
from limosa_server.client import Client, server_options

PATH = "/api/v1/rollouts"
NEGATIVE = ("failed", "champion")


@command("report", examples=["limosa rollout report 7", "limosa rollout report 7 --json"])
@click.argument("rollout", type=ROLLOUT)
@server_options
@json_option
def report(rollout: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> int:
    """Say what a shadow or a comparison has shown.

    Exit code 3: it speaks against the new release. 0: for it, or it does not tell.
    """
    with Client.of(server, token, ca) as client:
        found = client.get(f"{PATH}/{rollout}/report")
    answer(found, as_json=as_json, text=lambda: report_text(found))
    return 3 if found["advice"] in NEGATIVE else 0


@command("promote", examples=["limosa rollout promote 7", "limosa rollout promote 7 --file waves.toml"])
@click.argument("rollout", type=ROLLOUT)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Fields of a rollout file that come in the place of the old ones, as waves.",
)
@server_options
@json_option
def promote(
    rollout: int, file: Path | None, server: str | None, token: str | None, ca: str | None, as_json: bool
) -> None:
    """Roll out what a shadow or a comparison has shown to be good.

    Starts a rollout that replaces: of the same release, on the same target.
    """
    body = _read(file) if file is not None else {}
    with Client.of(server, token, ca) as client:
        found = client.post(f"{PATH}/{rollout}/promote", body)
    answer(found, as_json=as_json, text=lambda: ladder(found))


def report_text(found: JsonObject) -> str:
    """The report as people read it in a terminal."""
    fields = Fields(found, where="report")
    title = f"{found['model']}@{found['challenger']}  {found['mode']}  {found['status']}"
    lines = [printable(title), printable(fields.text("sentence"))]
    lines += _kpis(fields) if found["mode"] == "ab" else _shadow(fields)
    return "\n".join(lines)


def _kpis(fields: Fields) -> list[str]:
    arms = fields.fields("arms")
    a, b = (arms.optional(name, lambda n: arms.integer(n), 0) for name in ("a", "b"))
    lines = ["", f"{a} devices keep {printable(fields.text('champion'))}, {b} have the new release", ""]
    lines += [printable(Fields(kpi, where=place).text("sentence")) for place, kpi in fields.items("kpis")]
    told = fields.object("reported")
    values = ", ".join(f"{name} {told[name]}" for name in sorted(told)) or "none yet"
    return [*lines, "", f"values that applications sent: {printable(values)}"]


def _shadow(fields: Fields) -> list[str]:
    lines: list[str] = []
    pairs = [Fields(item, where=place) for place, item in fields.items("pairs")]
    if pairs:
        rows = [[str(one.raw(name)) for name in ("answered", "challenger", "rows")] for one in pairs]
        lines += ["", "classes that differ most:", columns(["ANSWERED", "CHALLENGER", "ROWS"], rows)]
    worst = [Fields(item, where=place) for place, item in fields.items("most_disagreement")]
    if worst:
        rows = [[str(one.raw(name)) for name in ("device", "disagreed", "compared")] for one in worst]
        lines += ["", "devices that disagree most:", columns(["DEVICE", "DISAGREED", "COMPARED"], rows)]
    return lines


def _read(file: Path) -> JsonObject:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidField("the file is not TOML", where=str(file), why=str(error)) from error
