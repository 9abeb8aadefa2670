"""`limosa publish`: sign an artifact with the team's key, list it, push it (architecture 4.2)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from limosa_compiler.artifact.archive_file import Archive, read_archive, write_archive
from limosa_compiler.commands.options import FILE, server_options, team_key_options
from limosa_compiler.trust.folders import locked, refusals
from limosa_compiler.trust.key_sources import open_key
from limosa_compiler.trust.offline_folder import metadata_folder, team_key
from limosa_compiler.trust.publishing import Published, Publisher
from limosa_compiler.trust.server_client import FleetServer
from limosa_compiler.trust.signatures import SignedBlobs, sign_archive
from limosa_compiler.trust.team_folder import TeamFolder, open_folder
from limosa_contracts.archive import SUFFIX
from limosa_contracts.cli import answer, command, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.evidence_statement import EVIDENCE_FILE, REPORT_FILE
from limosa_contracts.json_value import JsonObject
from limosa_contracts.names import check_version
from limosa_contracts.promise import VariantPromise
from limosa_contracts.signing_keys import Signs

if TYPE_CHECKING:
    from limosa_compiler.evidence.evidence import Evidence


class _Key(NamedTuple):
    """As it was given on the command line."""

    source: str | None
    public: Path | None


SIGNED_SUFFIX = f".signed{SUFFIX}"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@command(
    "publish",
    examples=[
        "limosa publish motion-1.0.0.limosa --offline keys --server https://fleet.example.com",
        "limosa publish motion-1.0.0.limosa --key team.pem --metadata team/metadata --server URL",
        "limosa publish motion-1.0.0.limosa --offline keys            # only sign",
        "limosa publish --sync --offline keys --team vision --server URL  # after a server was restored",
    ],
)
@click.argument("artifact", type=FILE, required=False)
@click.option("--offline", type=FOLDER, help="The offline folder: holds key and metadata of the team.")
@team_key_options
@click.option("--metadata", type=FOLDER, help="The team's metadata folder, where it is not in --offline.")
@server_options
@click.option(
    "--may-return-to", metavar="V,…", help="Versions a device may go back to; else those in production."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="NAME-VERSION.signed.limosa")
@click.option("--sync", is_flag=True, help="Send what the folder lists and the server lacks.")
@click.option("--team", metavar="NAME", help="With --sync: the team; else the artifact says it.")
@json_option
def publish(
    artifact: Path | None,
    offline: Path | None,
    key: str | None,
    public_key: Path | None,
    metadata: Path | None,
    server: str | None,
    token: str | None,
    ca: Path | None,
    may_return_to: str | None,
    output: Path | None,
    sync: bool,
    team: str | None,
    as_json: bool,
) -> None:
    """Sign an artifact and push it to a server.

    The same command twice gives the same bytes and changes nothing. A version that is published
    never changes: other contents under it are refused.
    """
    if (artifact is None) == (not sync):
        raise Usage("give either an artifact or --sync", where="limosa publish", hint="limosa publish --help")
    with ExitStack() as stack:
        remote = None
        if server is not None:
            remote = stack.enter_context(FleetServer(url=server, token=token or "", ca=ca))
        if artifact is None:
            if remote is None or team is None:
                raise Usage("--sync needs --server and --team", where="limosa publish")
            folder = _open(stack, offline, _Key(key, public_key), metadata, team)
            _sync(_publisher(folder, remote), as_json=as_json)
            return
        path = output or _signed_path(artifact)
        archive = read_archive(artifact)
        folder = _open(stack, offline, _Key(key, public_key), metadata, archive.release.name.team)
        back = None if may_return_to is None else _versions(may_return_to)
        if not folder.key.repeats:
            archive = _signed_once(archive, path, folder.key)
        evidence = _evidence(artifact, archive)
        done = _publisher(folder, remote).publish(
            archive,
            may_return_to=back,
            evidence=_evidence_files(evidence),
            promises=_promises(evidence),
        )
    _write(path, archive, done.signed)
    answer(_json(done, path), as_json=as_json, text=lambda: _text(done, path))


def _signed_once(archive: Archive, path: Path, key: Signs) -> Archive:
    """What was signed before, or is signed now and written before anyone hears of it.

    A key that a device holds gives another signature each time, and so another release.
    """
    if path.exists():
        before = read_archive(path)
        if before.content_digest == archive.content_digest:
            return before
    _write(path, archive, sign_archive(archive, key))
    return read_archive(path)


def _write(path: Path, archive: Archive, signed: SignedBlobs) -> None:
    release = archive.release
    with refusals(path, "write the signed artifact"):
        write_archive(
            path, signed.blobs, signed.index, name=str(release.name), version=release.version, mtime=_mtime()
        )


def _evidence(artifact: Path, archive: Archive) -> Evidence | None:
    """Beside the artifact, if it is about it."""
    from limosa_compiler.artifact.inspection import find_evidence

    evidence, found = find_evidence(artifact, archive)
    if evidence is None and found["state"] != "missing":
        progress(f"warning: evidence is not published: {found['state']}: {found['why']}")
    return evidence


def _evidence_files(evidence: Evidence | None) -> dict[str, bytes]:
    """It, and the report made from it."""
    if evidence is None:
        return {}
    from limosa_compiler.report import make_report

    return {EVIDENCE_FILE: evidence.encode(), REPORT_FILE: make_report(evidence)}


def _promises(evidence: Evidence | None) -> dict[str, VariantPromise]:
    if evidence is None:
        return {}
    from limosa_compiler.choice.promises import to_devices

    return to_devices(evidence.promises)


def _publisher(folder: TeamFolder, server: FleetServer | None) -> Publisher:
    return Publisher(folder=folder, server=server, now=lambda: datetime.now(UTC), say=progress)


def _sync(publisher: Publisher, *, as_json: bool) -> None:
    sent = publisher.sync()
    answer(
        {"team": publisher.folder.team, "sent": list(sent)},
        as_json=as_json,
        text=lambda: f"sent: {', '.join(sent)}" if sent else "the server has everything already",
    )


def _open(
    stack: ExitStack, offline: Path | None, given: _Key, metadata: Path | None, team: str
) -> TeamFolder:
    """--key and --metadata go before what --offline holds; locked until `stack` ends."""
    if offline is not None:
        metadata_there = metadata_folder(offline, team)
        if not metadata_there.is_dir() and metadata is None:
            raise Usage(
                f"the offline folder has no team {team!r}",
                where=str(offline),
                hint=f"limosa keys show --offline {offline}; a new team: limosa keys add-team",
            )
        metadata = metadata or metadata_there
    if metadata is None:
        raise Usage("the team's metadata is needed", where="limosa publish", hint="--offline or --metadata")
    stack.enter_context(locked(metadata))
    if offline is not None and given.source is None:
        key = team_key(offline, team, os.environ)
    else:
        key = open_key(given.source, given.public, os.environ)
    return open_folder(metadata, team=team, key=key)


def _versions(text: str) -> tuple[str, ...]:
    return tuple(check_version(version.strip()) for version in text.split(",") if version.strip())


def _mtime() -> int:
    """Of every member, as reproducible builds have it (compiler 6.2)."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isdigit() or len(text) > 11:
        raise Usage("SOURCE_DATE_EPOCH is not a number of seconds", where="SOURCE_DATE_EPOCH", why=text[:40])
    return int(text)


def _signed_path(artifact: Path) -> Path:
    """Beside the artifact: publishing the signed one again writes the same file."""
    name = artifact.name.removesuffix(SIGNED_SUFFIX).removesuffix(SUFFIX)
    return artifact.with_name(name + SIGNED_SUFFIX)


def _json(done: Published, path: Path) -> JsonObject:
    return {
        "release": str(done.release),
        "artifact": str(path),
        "index_sha256": done.target.index_sha256,
        "release_counter": done.target.custom.release_counter,
        "may_return_to": list(done.target.custom.may_return_to),
        "already_published": done.already,
        "pushed_blobs": done.pushed.blobs if done.pushed else None,
        "pushed_bytes": done.pushed.bytes if done.pushed else None,
    }


def _text(done: Published, path: Path) -> str:
    if done.pushed is None:
        state = "signed, and listed in the team's folder"
    elif done.already:
        state = "was published already"
    else:
        state = f"published: {done.pushed.blobs} blobs, {done.pushed.bytes} bytes sent"
    return f"{done.release}  {state}\n{path}  index sha256:{done.target.index_sha256[:12]}…"
