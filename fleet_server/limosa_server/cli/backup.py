"""`limosa server backup`, `restore` and `check`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonObject
from limosa_server.cli.loading import no_collector
from limosa_server.cli.times import minute
from limosa_server.deploy.finding import Finding
from limosa_server.settings import ServerSettings

if TYPE_CHECKING:  # what opens databases is loaded where it is used: help and a wrong option need none of it
    from limosa_server.deploy.backup import Backup

NEGATIVE: Final = 3  # exit code of a verdict


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data` and `--database`, as `limosa server run` has them."""
    for option in (
        click.option(
            "--database", default="", metavar="URL", envvar="LIMOSA_DATABASE",
            help="As for limosa server run; without it SQLite in DATA.",
        ),
        click.option(
            "--data", type=click.Path(path_type=Path), required=True, help="The server's folder."
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@command(
    "backup",
    examples=[
        "limosa server backup --data /var/lib/limosa-server /mnt/backup/limosa",
        "limosa server backup --data /var/lib/limosa-server --keys /mnt/safe/limosa",
    ],
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@place_options
@click.option("--keys", is_flag=True, help="The server's private keys too: keep that as safe as they are.")
@json_option
def backup(folder: Path, data: Path, database: str, keys: bool, as_json: bool) -> int:
    """Copy database, metadata and blobs to FOLDER while the server goes on.

    Again into the same folder it copies what is new only. One that breaks off leaves the backup before.
    The offline keys are not the server's to copy: without them nothing new can ever be signed.
    """
    with no_collector():
        from limosa_server.deploy.backup import make_backup

    settings = ServerSettings(data=data.absolute(), database_url=database)
    made = make_backup(settings, settings.database, folder.absolute(), keys=keys, now=time.time())
    said: JsonObject = {
        "folder": str(folder),
        "made_at": made.manifest.made_at,
        "revision": made.manifest.revision,
        "files": len(made.manifest.files),
        "blobs": len(made.manifest.blobs),
        "copied": made.copied,
        "missing": list(made.missing),
        "keys": keys,
    }
    answer(said, as_json=as_json, text=lambda: _backup_text(made, folder))
    return NEGATIVE if made.missing else 0


@command("restore", examples=["limosa server restore --data /var/lib/limosa-server /mnt/backup/limosa"])
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@place_options
@json_option
def restore(folder: Path, data: Path, database: str, as_json: bool) -> None:
    """Put the backup in FOLDER back, where no server is.

    Every byte is checked first, and nothing that exists is overwritten. Afterwards devices that have seen
    more than the backup knows are answered with higher numbers; what was published since is published
    again by its team.
    """
    with no_collector():
        from limosa_server.deploy.restore import restore as put_back

    settings = ServerSettings(data=data.absolute(), database_url=database)
    manifest = put_back(settings, settings.database, folder.absolute())
    said: JsonObject = {"data": str(data), "made_at": manifest.made_at, "blobs": len(manifest.blobs)}
    lines = [
        f"{data} is as it was at {minute(manifest.made_at)}, with {len(manifest.blobs)} blobs",
        "",
        "next:",
        f"  limosa server check --data {data}",
        f"  limosa server run --data {data} …        as before",
        "  limosa publish --sync --offline DIR --team NAME     once for each team",
        "",
        "If somebody may have used a copy of this server meanwhile: limosa server epoch bump",
    ]
    answer(said, as_json=as_json, text="\n".join(lines))


@command(
    "check",
    examples=[
        "limosa server check --data /var/lib/limosa-server",
        "limosa server check --backup /mnt/backup/limosa",
    ],
)
@click.option("--data", type=click.Path(path_type=Path), help="The server's folder.")
@click.option(
    "--database", default="", metavar="URL", envvar="LIMOSA_DATABASE",
    help="As for limosa server run; without it SQLite in DATA.",
)  # fmt: skip
@click.option(
    "--backup", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Check a backup instead: every byte of it.",
)  # fmt: skip
@click.option("--blobs", is_flag=True, help="Read every blob and compare its digest.")
@json_option
def check(data: Path | None, database: str, folder: Path | None, blobs: bool, as_json: bool) -> int:
    """Say whether keys, database, counters, audit trail and blobs hold together; exit 3 if not.

    It writes nothing, and the server may run meanwhile.
    """
    if (data is None) == (folder is None):
        raise Usage("there is nothing to check", where="--data", hint="give --data or --backup")
    if folder is not None:
        found = _of_backup(folder.absolute())
    else:
        assert data is not None
        with no_collector():
            from limosa_server.deploy.check import check as check_server

        settings = ServerSettings(data=data.absolute(), database_url=database)
        found = check_server(settings, settings.database, read_blobs=blobs)
    bad = any(one.bad for one in found)
    said: JsonObject = {"ok": not bad, "findings": [one.as_json() for one in found]}
    answer(said, as_json=as_json, text=lambda: _check_text(found))
    return NEGATIVE if bad else 0


def _of_backup(folder: Path) -> list[Finding]:
    with no_collector():
        from limosa_server.deploy.backup import object_path, read_manifest
        from limosa_server.deploy.restore import damages

    manifest = read_manifest(folder)
    return [
        Finding(
            bad=True,
            what=f"{one.path or 'a blob'}: {one.why}",
            where=str(object_path(folder, one.sha256)),
            hint="make the backup again",
        )
        for one in damages(folder, manifest)
    ]


def _backup_text(made: Backup, folder: Path) -> str:
    manifest = made.manifest
    lines = [
        f"{folder}: database, {len(manifest.files) - 1} files, {len(manifest.blobs)} blobs"
        f" ({made.copied} copied now)",
        "the server's private keys are in it" if manifest.keys else "without the server's private keys",
    ]
    lines += [f"missing on the server: sha256:{sha256}" for sha256 in made.missing]
    return "\n".join([*lines, "", f"next: limosa server check --backup {folder}"])


def _check_text(found: list[Finding]) -> str:
    if not found:
        return "all of it holds together"
    lines = []
    for one in found:
        lines.append(f"{'BAD ' if one.bad else 'note'} {one.what}")
        lines.append(f"     {one.where}")
        lines += [f"     hint: {one.hint}"] if one.hint else []
    return "\n".join(lines)
