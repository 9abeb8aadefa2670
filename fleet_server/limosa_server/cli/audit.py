"""`limosa audit …`: read the trail, take it away, and check it without trusting the server (trust 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import click

from limosa_contracts.audit_trail import AuditEntry, HeadFinding, compare_heads, first_break
from limosa_contracts.canonical import encode_canonical, parse_json
from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.errors import InvalidField, Usage
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.signing_keys import PublicKey
from limosa_server.cli.times import second
from limosa_server.client import Client, server_options
from limosa_server.errors import HistoryRewritten
from limosa_server.files import write_atomic

PATH: Final = "/api/v1/audit"
SCHEMA: Final = "limosa.audit-export/1"
LINE_MAX_BYTES: Final = 1024 * 1024
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(slots=True)
class Trail:
    """Entries in order, heads the server signed, and the keys it says it signed them with."""

    entries: list[AuditEntry] = field(default_factory=list)
    heads: list[tuple[str, str]] = field(default_factory=list)  # (where, text)
    keys: list[PublicKey] = field(default_factory=list)


@command("list", examples=["limosa audit list", "limosa audit list --last 20 --json"])
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@server_options
@json_option
def list_rows(last: int, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """List who did what, the newest last."""
    with Client.of(server, token, ca) as client:
        newest = client.every(PATH, newest="true", limit=min(last, LIMITS.page_size_max))
        found = list(islice(newest, last))[::-1]
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["SEQ", "WHEN", "WHO", "WHAT", "ABOUT"],
            [
                [
                    str(one["seq"]),
                    second(one["time"]),
                    str(one["actor"]),
                    str(one["action"]),
                    str(one["object"]),
                ]
                for one in found
            ],
        ),
    )


@command("export", examples=["limosa audit export audit.jsonl"])
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@server_options
@json_option
def export(file: Path, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Write the whole trail with its signed heads into one file, a line each."""
    with Client.of(server, token, ca) as client:
        trail = _fetched(client)
    lines: list[JsonObject] = [{"schema": SCHEMA, "keys": [key.pem().decode() for key in trail.keys]}]
    lines += [{"entry": entry.as_json()} for entry in trail.entries]
    lines += [{"head": text} for _, text in trail.heads]
    write_atomic(file, b"".join(encode_canonical(line) + b"\n" for line in lines))
    answer(
        {"file": str(file), "entries": len(trail.entries), "heads": len(trail.heads)},
        as_json=as_json,
        text=lambda: f"{len(trail.entries)} entries and {len(trail.heads)} heads in {file}",
    )


@command(
    "verify",
    examples=[
        "limosa audit verify",
        "limosa audit verify audit.jsonl --heads heads.txt --key audit.pub  # without a server",
    ],
)
@click.argument("file", type=FILE, required=False)
@click.option(
    "--heads", type=FILE, default=None,
    help="Heads that were kept elsewhere, one a line: from devices, or from earlier exports.",
)  # fmt: skip
@click.option(
    "--key", type=FILE, default=None, help="Public audit key in PEM, if the export's is not believed."
)
@server_options
@json_option
def verify(
    file: Path | None,
    heads: Path | None,
    key: Path | None,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Check that every entry follows from those before it, and that no kept head says otherwise.

    FILE is an export; without it the trail is fetched now. Either way it is checked here, and the server's
    word is not asked. Exit code 5 if history was rewritten.
    """
    if file is not None:
        trail = read_export(file)
    else:
        with Client.of(server, token, ca) as client:
            trail = _fetched(client)
    if heads is not None:
        lines = heads.read_text().splitlines()
        trail.heads += [(f"{heads}:{n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    keys = [PublicKey.parse(key.read_bytes())] if key is not None else trail.keys
    broken = first_break(trail.entries)
    findings = compare_heads({one.seq: one.hash for one in trail.entries}, trail.heads, keys)
    _tell(trail, broken, findings, as_json=as_json)


def read_export(file: Path) -> Trail:
    """Raises InvalidJson, InvalidField, TooLarge, Usage."""
    trail = Trail()
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file}:{number}"
            fields = Fields(parse_json(line, what=where, max_bytes=LINE_MAX_BYTES), where=where)
            if fields.has("entry"):
                trail.entries.append(AuditEntry.parse(fields.raw("entry"), where=where))
            elif fields.has("head"):
                trail.heads.append((where, fields.text("head", max_chars=4096)))
            elif number == 1:
                fields.schema(SCHEMA)
                trail.keys += [PublicKey.parse(pem.encode()) for pem in fields.texts("keys", max_items=256)]
            else:
                raise InvalidField("neither an entry nor a head", where=where)
    if not trail.entries:
        raise Usage("there is no entry in this file", where=str(file), hint="limosa audit export FILE")
    return trail


def _fetched(client: Client) -> Trail:
    trail = Trail(entries=[AuditEntry.parse(item) for item in client.every(PATH, limit=LIMITS.page_size_max)])
    answered = client.get(f"{PATH}/heads", limit=1)
    trail.keys = [PublicKey.parse(pem.encode()) for pem in _texts(answered.get("keys"))]
    trail.heads = [
        (f"head {item['seq']}", str(item["head"]))
        for item in client.every(f"{PATH}/heads", limit=LIMITS.page_size_max)
    ]
    return trail


def _texts(value: JsonValue) -> Iterator[str]:
    yield from (one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _tell(trail: Trail, broken: int | None, findings: Iterable[HeadFinding], *, as_json: bool) -> None:
    """Raises HistoryRewritten."""
    bad = [one for one in findings if one.problem]
    if broken is not None or bad:
        first = (
            f"entry {broken} does not follow from those before it" if broken is not None else bad[0].problem
        )
        raise HistoryRewritten(
            "the audit trail is not what it was",
            where="" if broken is not None else bad[0].where,
            why=first,
            evidence={
                "first_break": broken,
                "heads": [{"where": one.where, "seq": one.seq, "problem": one.problem} for one in bad],
            },
        )
    if not trail.heads:
        progress("warning: no head was compared: a whole new history would not be noticed")
    answer(
        {"entries": len(trail.entries), "heads": len(trail.heads), "intact": True},
        as_json=as_json,
        text=lambda: f"{len(trail.entries)} entries follow from one another; {len(trail.heads)} heads agree",
    )
