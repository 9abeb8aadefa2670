"""`limosa device export | import`."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Final

import click

from limosa_contracts.cli import answer, columns, command, json_option, printable, progress
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_server.cli.device_filter import device_filter_options, filter_of
from limosa_server.client import Client, server_options
from limosa_server.fleet.csv_cells import ROWS_MAX

EXPORT: Final = "/api/v1/devices:export"
IMPORT: Final = "/api/v1/devices:import"
EXPORT_MAX_BYTES: Final = 1024**3


@command(
    "export",
    examples=[
        "limosa device export > devices.csv",
        "limosa device export --selector 'site in (lab,hq)' --state trouble > trouble.csv",
    ],
)
@device_filter_options
@server_options
@json_option
def export(
    state: str,
    label: str,
    selector: str,
    group: str,
    version: str,
    search: str,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Write the inventory as CSV: one row a device, one column a label. --json is about errors only."""
    query = filter_of(state=state, label=label, selector=selector, group=group, version=version, q=search)
    with Client.of(server, token, ca) as client:
        for piece in client.pieces(EXPORT, max_bytes=EXPORT_MAX_BYTES, **query):
            click.echo(piece, nl=False)


@command(
    "import",
    examples=[
        "limosa device import devices.csv --dry-run",
        "limosa device import devices.csv",
        "limosa device import new.csv --enroll --json > tokens.json  # a token for each new device",
    ],
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--enroll", is_flag=True, help="Make a token for each device that is not there.")
@server_options
@json_option
def import_devices(
    file: Path,
    dry_run: bool,
    enroll: bool,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Set labels and static groups of many devices from CSV.

    All rows are applied or, if one is wrong, none. A file that was applied changes nothing the second
    time. Columns: device, label.NAME (empty takes the operator's label away), groups (blanks between),
    serial.
    """
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    query = {"dry_run": "true" if dry_run else "", "enroll": "true" if enroll else ""}
    with Client.of(server, token, ca) as client:
        parts = split(data)
        done: dict[str, JsonValue] = {"wrong": 0}
        if len(parts) > 1:  # a mistake in a later part must not leave an earlier one applied
            done = merged([client.upload(IMPORT, part, **{**query, "dry_run": "true"}) for part in parts])
        if not done["wrong"]:
            done = merged([client.upload(IMPORT, part, **query) for part in parts])
    if done["tokens"]:
        progress("hint: the tokens are not shown again")
    answer(done, as_json=as_json, text=lambda: _told(done, dry_run=dry_run))
    if done["wrong"]:
        raise click.exceptions.Exit(1)


def split(data: bytes) -> list[bytes]:
    """The file in parts that the server takes at once, each with the headings. Raises Usage.

    >>> [len(part) for part in split(b"device\\r\\nd1\\r\\n")]
    [12]
    """
    if data.count(b"\n") <= ROWS_MAX:
        return [data]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Usage("the file is not UTF-8", where="FILE", why=str(error)) from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    headings, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) or [[]]
    parts = []
    for start in range(0, len(rows), ROWS_MAX):
        part = io.StringIO()
        csv.writer(part, delimiter=delimiter).writerows([headings, *rows[start : start + ROWS_MAX]])
        parts.append(part.getvalue().encode())
    return parts


def merged(said: list[JsonObject]) -> dict[str, JsonValue]:
    """Answers about the parts of one file as one."""
    done: dict[str, JsonValue] = {"applied": bool(said) and all(one["applied"] is True for one in said)}
    for name in ("rows", "changed", "new", "waiting", "wrong"):
        done[name] = sum(value for one in said if isinstance(value := one[name], int))
    for name in ("changes", "errors", "tokens"):
        done[name] = [item for one in said if isinstance(found := one[name], list) for item in found]
    return done


def _told(done: JsonObject, *, dry_run: bool) -> str:
    errors = _rows(done["errors"], ("row", "column", "device", "why"))
    if errors:
        table = columns(["ROW", "COLUMN", "DEVICE", "WHY"], errors)
        return f"{table}\n\n{done['wrong']} of {done['rows']} rows are wrong: nothing was changed"
    verb = "would change" if dry_run else "changed"
    head = f"{done['changed']} of {done['rows']} devices {verb}"
    if done["new"]:
        head += f", {done['new']} new{'' if dry_run else ' with a token'}"
    if done["waiting"]:
        head += f", {done['waiting']} wait to be enrolled"
    made = [f"{device}  {token}" for device, token in _rows(done["tokens"], ("device", "token"))]
    return "\n".join([head, *made])


def _rows(value: JsonValue, names: tuple[str, ...]) -> list[list[str]]:
    found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return [[printable(str(one[name])) for name in names] for one in found]
