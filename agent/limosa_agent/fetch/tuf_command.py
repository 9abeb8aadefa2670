"""`limosa-agent tuf`: the device's TUF client on its own, as the conformance suite drives it (trust 3.6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import click

from limosa_agent.fetch.durable import DISK, TEMPORARY
from limosa_agent.fetch.http_source import HttpSource
from limosa_agent.fetch.limits import FetchLimits
from limosa_agent.fetch.tuf_client import TufClient, check_root
from limosa_contracts.cli_errors import report
from limosa_contracts.errors import LimosaError, NotFound, SystemRefused, Usage

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(name="tuf", no_args_is_help=True)
@click.option("--metadata-dir", type=FOLDER, required=True, help="Where metadata is kept.")
@click.option("--metadata-url", default="", help="Where metadata comes from.")
@click.option("--target-name", default="", help="The target to download.")
@click.option("--target-base-url", default="", help="Where targets come from.")
@click.option("--target-dir", type=FOLDER, default=None, help="Where the target is put.")
@click.pass_context
def tuf(context: click.Context, /, **options: object) -> None:
    """Refresh and verify TUF metadata by hand.

    \b
    Examples:
      limosa-agent tuf --metadata-dir D init root.json
      limosa-agent tuf --metadata-dir D --metadata-url URL/metadata refresh
      limosa-agent tuf --metadata-dir D --metadata-url URL/metadata \\
          --target-name NAME --target-base-url URL/targets --target-dir T download

    Exit code 0: done, 1: refused or failed; what was verified before stays.
    """
    context.obj = options


@tuf.command()
@click.argument("root", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def init(context: click.Context, root: Path) -> None:
    """Trust ROOT, the first root of a repository."""
    with _one_exit_code(context):
        data = root.read_bytes()
        check_root(data)
        folder = _folder(context, "metadata_dir")
        DISK.make_folder(folder)
        DISK.replace_file(folder / "root.json", data)


@tuf.command()
@click.pass_context
def refresh(context: click.Context) -> None:
    """Bring root, timestamp, snapshot and targets up to date."""
    with _one_exit_code(context):
        _client(context)[0].refresh()


@tuf.command()
@click.pass_context
def download(context: click.Context) -> None:
    """Refresh, then download one target if it is not there yet."""
    with _one_exit_code(context):
        client, source = _client(context)
        name = _text(context, "target_name")
        target = client.target(name)
        if target is None:
            raise NotFound("there is no such target", where=name)
        folder = _folder(context, "target_dir")
        DISK.make_folder(folder)
        path = folder / quote(name, safe="")
        if path.is_file() and client.holds(target, path):
            return
        temporary = path.with_name(path.name + TEMPORARY)
        url = client.target_url(target, _text(context, "target_base_url"))
        try:
            source.save(url, temporary, max_bytes=target.length)
            client.check(target, temporary)
            DISK.rename(temporary, path)
        finally:
            DISK.remove(temporary)  # what was refused is not left lying among what was verified
        DISK.sync_folder(folder)


@contextmanager
def _one_exit_code(context: click.Context) -> Iterator[None]:
    """The suite knows 0 and 1 only, whatever the error."""
    try:
        yield
    except LimosaError as error:
        report(error, as_json=False)
        context.exit(1)
    except OSError as error:
        report(
            SystemRefused("the system refused", where=str(error.filename or ""), why=str(error)),
            as_json=False,
        )
        context.exit(1)


def _client(context: click.Context) -> tuple[TufClient, HttpSource]:
    folder = _folder(context, "metadata_dir")
    limits = FetchLimits()
    source = HttpSource(limits)
    client = TufClient(
        folder,
        metadata_url=_text(context, "metadata_url"),
        bootstrap=(folder / "root.json").read_bytes(),
        reference=time.time(),
        source=source,
        limits=limits,
    )
    return client, source


def _text(context: click.Context, name: str) -> str:
    value = context.obj.get(name)
    if not isinstance(value, str) or not value:
        raise Usage(f"--{name.replace('_', '-')} is needed", where=context.command_path)
    return value


def _folder(context: click.Context, name: str) -> Path:
    value = context.obj.get(name)
    if not isinstance(value, Path):
        raise Usage(f"--{name.replace('_', '-')} is needed", where=context.command_path)
    return value
