"""`limosa inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from limosa_compiler.artifact.archive_file import Archive, Variant, read_archive
from limosa_compiler.commands.inspect_text import inspect_text
from limosa_compiler.errors import FolderNotEmpty
from limosa_contracts.cli import answer, command, json_option
from limosa_contracts.errors import Usage


@command(
    "inspect",
    examples=[
        "limosa inspect motion-1.0.0.limosa",
        "limosa inspect motion-1.0.0.limosa --json  # every candidate, file, digest and requirement",
        "limosa inspect motion-1.0.0.limosa --unpack folder --variant generic-x86-64",
    ],
)
@click.argument("artifact", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--unpack", type=click.Path(path_type=Path), help="Write one variant's files into a new folder."
)
@click.option("--variant", help="The variant to unpack; may be left out if there is one.")
@json_option
def inspect(artifact: Path, unpack: Path | None, variant: str | None, as_json: bool) -> None:
    """Say what is in an artifact: variants, sizes, and how each candidate did.

    Digests are checked, signatures are not: limosa verify does that. How candidates were measured is
    read from NAME-VERSION.evidence.json beside the artifact, if that is about it.
    """
    archive = read_archive(artifact)

    from limosa_compiler.artifact.inspection import describe

    said = describe(artifact, archive)
    if unpack is not None:
        chosen = _one_variant(archive, variant)
        said |= {"unpacked": [str(path) for path in unpack_variant(archive, chosen, unpack)]}
    elif variant is not None:
        raise Usage("--variant goes with --unpack", hint="limosa inspect ARTIFACT --json says all of each")
    answer(said, as_json=as_json, text=lambda: inspect_text(said))


def unpack_variant(archive: Archive, variant: Variant, folder: Path) -> list[Path]:
    """Writes the variant's flat folder. Raises FolderNotEmpty; names were checked when it was read."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise FolderNotEmpty(f"{folder} already holds something", where=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, data in archive.files(variant).items():
        path = folder / name
        with path.open("xb") as stream:
            stream.write(data)
        written.append(path)
    return written


def _one_variant(archive: Archive, name: str | None) -> Variant:
    if name is not None:
        return archive.variant(name)
    if len(archive.variants) != 1:
        names = ", ".join(variant.name for variant in archive.variants)
        raise Usage("say which variant to unpack", hint=f"--variant, one of {names}")
    return archive.variants[0]
