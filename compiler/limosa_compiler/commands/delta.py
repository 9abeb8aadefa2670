"""`limosa delta OLD NEW`, `limosa delta apply OLD DELTA`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from limosa_compiler.artifact.archive_file import archive_name, read_archive, write_archive
from limosa_compiler.artifact.tar_format import mtime_of
from limosa_compiler.artifact.whole_files import written_at_once
from limosa_compiler.errors import DeltaUnusable, NothingSaved, OtherBase, UnlikeFiles
from limosa_contracts.archive import SUFFIX as ARTIFACT_SUFFIX
from limosa_contracts.cli import answer, columns, group, json_option
from limosa_contracts.errors import TooLarge
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUTPUT = click.option(
    "--output",
    "--out",
    "-o",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.",
)


@group(
    "delta",
    examples=[
        "limosa delta motion-1.0.0.limosa motion-1.1.0.limosa",
        "limosa delta apply motion-1.0.0.limosa motion-1.0.0-to-1.1.0.limosadelta",
    ],
)
def delta() -> None:
    """What one artifact needs to become another, in as few bytes as possible.

    Weights are aligned by tensor, and what changed in them is coded; everything else is patched. The
    server makes the same deltas by itself for devices that update.
    """


@delta.command(
    "make",
    examples=[
        "limosa delta motion-1.0.0.limosa motion-1.1.0.limosa",
        "limosa delta old.onnx new.onnx --output small.limosadelta --json",
    ],
)
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@OUTPUT
@json_option
def make(old: Path, new: Path, out: Path | None, as_json: bool) -> None:
    """Write the delta from one artifact, or one plain file, to another.

    The exit code is 3 if a plain file is no smaller by a delta than by itself.
    """
    if (old.suffix == ARTIFACT_SUFFIX) != (new.suffix == ARTIFACT_SUFFIX):
        raise UnlikeFiles("one of the two is an artifact and the other is not", where=f"{old} {new}")
    said = _of_artifacts(old, new, out) if old.suffix == ARTIFACT_SUFFIX else _of_files(old, new, out)
    answer(said, as_json=as_json, text=lambda: _text(said))


@delta.command(
    "apply",
    examples=["limosa delta apply motion-1.0.0.limosa motion-1.0.0-to-1.1.0.limosadelta --output new.limosa"],
)
@click.argument("old", type=FILE)
@click.argument("delta_file", metavar="DELTA", type=FILE)
@OUTPUT
@json_option
def apply(old: Path, delta_file: Path, out: Path | None, as_json: bool) -> None:
    """Make the new artifact or file out of the old one and a delta.

    Every digest is checked before anything is written. Without --output an artifact is written as
    NAME-VERSION.limosa here, a plain file beside its delta without the suffix.
    """
    from limosa_compiler.artifact.delta_file import MAGIC

    data = _read(delta_file)
    whole = _apply_to_artifact if data.startswith(MAGIC) else _apply_to_file
    path, size, digest = whole(old, data, out, delta_file)
    said: dict[str, JsonValue] = {
        "schema": "limosa.delta-applied/1",
        "out": str(path),
        "size_bytes": size,
        "digest": digest,
    }
    answer(said, as_json=as_json, text=f"{path}  {size} bytes  {digest}")


def _of_artifacts(old: Path, new: Path, out: Path | None) -> dict[str, Any]:
    from limosa_compiler.artifact.delta_file import SUFFIX, make_artifact_delta

    base, archive = read_archive(old), read_archive(new)
    made = make_artifact_delta(base, archive, mtime=mtime_of(new))
    data = made.encode()
    path = out or Path(f"{old.stem}-to-{archive.release.version}{SUFFIX}")
    _write(path, data)
    return {
        "schema": "limosa.delta-made/1",
        "out": str(path),
        "size_bytes": len(data),
        "new_bytes": new.stat().st_size,
        "blobs": [way.as_json() for way in made.ways],
    }


def _of_files(old: Path, new: Path, out: Path | None) -> dict[str, Any]:
    from limosa_compiler.artifact.delta_file import SUFFIX
    from limosa_contracts.delta.limits import DeltaLimits
    from limosa_contracts.delta.making import make_delta
    from limosa_contracts.delta.wire import DeltaHead

    base, data = _read(old), _read(new)
    made = make_delta(base, data)
    if made is None:
        raise NothingSaved("no delta is smaller than the file by itself", where=str(new))
    path = out or Path(f"{new.name}{SUFFIX}")
    _write(path, made)
    head = DeltaHead.parse(made, DeltaLimits())
    way = {
        "digest": f"sha256:{head.result_sha256}", "size": len(data), "name": new.name, "how": "delta",
        "codec": head.codec_name, "base": f"sha256:{head.base_sha256}", "moved": len(made),
    }  # fmt: skip
    said = {"out": str(path), "size_bytes": len(made), "new_bytes": len(data), "blobs": [way]}
    return {"schema": "limosa.delta-made/1", **said}


def _apply_to_artifact(old: Path, data: bytes, out: Path | None, _: Path) -> tuple[Path, int, str]:
    from limosa_compiler.artifact.delta_file import ArtifactDelta, apply_artifact_delta, release_name

    made = ArtifactDelta.parse(data)
    blobs = apply_artifact_delta(read_archive(old), made)
    release = release_name(made)
    path = out or Path(archive_name(release))
    write_archive(path, blobs, made.index, name=str(release.name), version=release.version, mtime=made.mtime)
    read_archive(path)
    return path, path.stat().st_size, made.index.digest


def _apply_to_file(old: Path, data: bytes, out: Path | None, delta_file: Path) -> tuple[Path, int, str]:
    from limosa_compiler.artifact.delta_file import SUFFIX
    from limosa_contracts.delta.applying import apply_delta
    from limosa_contracts.delta.errors import DeltaRefused
    from limosa_contracts.delta.limits import DeltaLimits
    from limosa_contracts.delta.wire import DeltaHead

    base = _read(old)
    try:
        head = DeltaHead.parse(data, DeltaLimits())
        if hashlib.sha256(base).hexdigest() != head.base_sha256:
            raise OtherBase("the delta is for another file", where=str(old))
        result = apply_delta(base, data)
    except DeltaRefused as error:
        raise DeltaUnusable(error.what, where=str(delta_file), why=error.why) from error
    path = out or delta_file.with_name(delta_file.name.removesuffix(SUFFIX))
    if path == delta_file:
        path = delta_file.with_suffix(".new")
    _write(path, bytes(result))
    return path, len(result), f"sha256:{head.result_sha256}"


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > LIMITS.artifact_max_bytes:
        raise TooLarge("the file is too large", where=str(path), why=f"{size} bytes")
    return path.read_bytes()


def _write(path: Path, data: bytes) -> None:
    with written_at_once(path) as stream:
        stream.write(data)


def _text(said: Mapping[str, Any]) -> str:
    rows = [
        [
            way["name"] or way["digest"][:19] + "…",
            str(way["size"]),
            str(way["moved"]),
            _share(way["moved"], way["size"]),
            way["codec"] or way["how"],
        ]
        for way in _largest_first(said["blobs"])
    ]
    total = _share(said["size_bytes"], said["new_bytes"])
    head = f"{said['out']}  {said['size_bytes']} bytes instead of {said['new_bytes']}  ({total})"
    return f"{head}\n\n{columns(['FILE', 'BYTES', 'MOVED', 'SHARE', 'HOW'], rows)}"


def _largest_first(ways: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(ways, key=lambda way: (-way["moved"], -way["size"], way["name"]))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f}" if whole else "-"
