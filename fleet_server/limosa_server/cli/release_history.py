"""`limosa release running|compare|lineage|evidence`"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import click

from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import DigestMismatch, NotFound, SignatureMismatch
from limosa_contracts.evidence_statement import ENVELOPE_FILE, PAYLOAD_TYPE, EvidenceStatement
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import DIGEST, ReleaseName
from limosa_contracts.signing_keys import PublicKey
from limosa_server.cli.release_paths import PATH, path_of
from limosa_server.cli.times import day
from limosa_server.client import Client, server_options

FILE_MAX_BYTES: Final = 64 * 1024 * 1024  # of one file of evidence


@command("running", examples=["limosa release running"])
@server_options
@json_option
def running(server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Say how many devices run which release."""
    with Client.of(server, token, ca) as client:
        found = list(client.every(f"{PATH}/running"))
    answer(
        {"items": list(found)},
        as_json=as_json,
        text=lambda: columns(
            ["RELEASE", "DEVICES"],
            [[f"{one['name']}@{one['version']}", str(one["devices"])] for one in found],
        ),
    )


@command("compare", examples=["limosa release compare demo/motion@1.0.0 demo/motion@1.1.0"])
@click.argument("old")
@click.argument("new")
@server_options
@json_option
def compare(old: str, new: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Say what differs between two releases."""
    with Client.of(server, token, ca) as client:
        found = client.get(
            f"{PATH}/compare", old=str(ReleaseName.parse(old)), new=str(ReleaseName.parse(new))
        )
    answer(found, as_json=as_json, text=lambda: _compared(found))


@command("lineage", examples=["limosa release lineage demo/motion@1.1.0"])
@click.argument("release")
@server_options
@json_option
def lineage(release: str, server: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Say what a release was built from, and what became of it."""
    with Client.of(server, token, ca) as client:
        found = client.get(f"{path_of(release)}/lineage")
    answer(found, as_json=as_json, text=lambda: _lineage(found))


@command(
    "evidence",
    examples=[
        "limosa release evidence demo/motion@1.1.0",
        "limosa release evidence demo/motion@1.1.0 --output evidence --key team.pub",
    ],
)
@click.argument("release")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=None, help="Write its files here."
)
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False, exists=True), default=None,
    help="The team's public key: check the signature here too, not only on the server.",
)  # fmt: skip
@server_options
@json_option
def evidence(
    release: str,
    output: Path | None,
    key: Path | None,
    server: str | None,
    token: str | None,
    ca: str | None,
    as_json: bool,
) -> None:
    """Fetch the evidence that was published with a release, checked against its digests and signature."""
    name = ReleaseName.parse(release)
    with Client.of(server, token, ca) as client:
        found = client.get(f"{path_of(release)}/evidence")
        items = found["items"]
        if not isinstance(items, list) or not items or not isinstance(items[0], dict):
            raise NotFound(f"no evidence was published with {release}", hint="limosa publish sends it along")
        best = next((one for one in items if isinstance(one, dict) and one["signed"]), items[0])
        files = _fetch(client, name, best) if output is not None or key is not None else {}
    if key is not None:
        check_signature(files, name, str(found["subject"]), PublicKey.parse(key.read_bytes()))
    elif not best["signed"]:
        raise SignatureMismatch("the evidence is not signed by its team", why=str(best["refused"]))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for file, data in sorted(files.items()):
            (output / file).write_bytes(data)
            progress(f"wrote {output / file} ({len(data)} bytes)")
    answer({**found, "checked_here": key is not None}, as_json=as_json, text=lambda: _evidence(best))


def _fetch(client: Client, name: ReleaseName, item: JsonObject) -> dict[str, bytes]:
    """Raises DigestMismatch, TooLarge."""
    files = item["files"]
    assert isinstance(files, list)
    fetched: dict[str, bytes] = {}
    for one in files:
        assert isinstance(one, dict)
        file, digest = str(one["name"]), str(one["digest"])
        if not DIGEST.fullmatch(digest) or not file or Path(file).name != file or file.startswith("."):
            raise DigestMismatch("the server names a file that cannot be written", where=file[:80])
        data = b"".join(client.pieces(f"/v2/{name.name}/blobs/{digest}", max_bytes=FILE_MAX_BYTES))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise DigestMismatch("a file of evidence has another digest", where=file)
        fetched[file] = data
    return fetched


def check_signature(files: dict[str, bytes], release: ReleaseName, subject: str, key: PublicKey) -> None:
    """Raises SignatureMismatch, and what parsing raises."""
    data = files.get(ENVELOPE_FILE)
    if data is None:
        raise SignatureMismatch("the evidence carries no signature", where=str(release))
    envelope = Envelope.parse(data, max_bytes=LIMITS.document_max_bytes)
    statement = EvidenceStatement.parse(envelope.verify(key, payload_type=PAYLOAD_TYPE))
    digests = {
        name: f"sha256:{hashlib.sha256(body).hexdigest()}"
        for name, body in files.items()
        if name != ENVELOPE_FILE
    }
    if statement.release != release or statement.subject != subject or dict(statement.files) != digests:
        raise SignatureMismatch("the signature is over another release's evidence", where=str(release))


def _evidence(item: JsonObject) -> str:
    files = item["files"]
    rows = [
        [str(one["name"]), str(one["size_bytes"]), str(one["digest"])]
        for one in (files if isinstance(files, list) else [])
        if isinstance(one, dict)
    ]
    said = f"signed by key {str(item['key'])[:12]}…" if item["signed"] else f"NOT signed: {item['refused']}"
    return f"{said}\n" + columns(["FILE", "BYTES", "DIGEST"], rows)


def _compared(found: JsonObject) -> str:
    lines = [f"{found['old']} → {found['new']}"]
    changed = found["changed"]
    for field, pair in sorted(changed.items()) if isinstance(changed, dict) else []:
        lines.append(f"{field}: {_pair(pair)}")
    variants = found["variants"]
    for one in variants if isinstance(variants, list) else []:
        assert isinstance(one, dict)
        inner = one["changed"]
        told = [f"{k}: {_pair(v)}" for k, v in sorted(inner.items())] if isinstance(inner, dict) else []
        lines.append(f"variant {one['name']}: {one['what']}" + (f" ({'; '.join(told)})" if told else ""))
    metrics = found["metrics"]
    for one in metrics if isinstance(metrics, list) else []:
        assert isinstance(one, dict)
        lines.append(f"target {one['target']}: {_score(one['old'])} → {_score(one['new'])}")
    return "\n".join(lines)


def _pair(pair: JsonValue) -> str:
    return f"{pair['old']} → {pair['new']}" if isinstance(pair, dict) else str(pair)


def _score(side: JsonValue) -> str:
    if not isinstance(side, dict):
        return "no signed evidence"
    holdout = side.get("holdout")
    score = holdout.get("value") if isinstance(holdout, dict) else None
    return f"{side.get('name')}" + (f", holdout {score:.4g}" if isinstance(score, (int, float)) else "")


def _lineage(found: JsonObject) -> str:
    lines = [
        f"{found['release']}  sha256:{found['index_sha256']}",
        f"published   {day(found['published_at'])} by {found['published_by']}",
        f"evidence    {'signed by its team' if found['signed'] else found['why_not_signed']}",
    ]
    built = found["built_from"]
    for part, values in sorted(built.items()) if isinstance(built, dict) else []:
        for key, value in sorted(values.items()) if isinstance(values, dict) else []:
            lines.append(f"  {part}.{key}: {value}")
    lines.append(f"before      {found['before'] or 'nothing'}")
    lines.append(f"after       {found['after'] or 'nothing yet'}")
    for title, name in (("rollout", "rollouts"), ("step", "steps")):
        rows = found[name]
        for one in rows if isinstance(rows, list) else []:
            assert isinstance(one, dict)
            if title == "rollout":
                lines.append(f"rollout     {one['id']} on {one['target']}: {one['status']}: {one['reason']}")
            else:
                why = f": {one['reason']}" if one["reason"] else ""
                lines.append(f"{day(one['at'])}  {one['what']} by {one['by']}{why}")
    return "\n".join(lines)
