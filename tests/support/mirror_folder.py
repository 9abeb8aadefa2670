"""A mirror as `limosa mirror export` lays it out, made from the files that a server would answer with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from limosa_contracts.mirror import MARKER_FILE, MirrorMarker, blob_file, desired_file


def write_mirror(
    folder: Path, served: Mapping[str, bytes], *, desired: Mapping[str, bytes] | None = None, name: str = "m"
) -> Path:
    """`served` by path of the URL."""
    for path, data in served.items():
        if path.startswith("/v2/"):
            _write(folder / blob_file(path.rpartition(":")[2]), data)
        else:
            _write(folder / path[1:], data)
    for device, envelope in (desired or {}).items():
        _write(folder / desired_file(device), envelope)
    marker = MirrorMarker(id=name, made=0, expires=0, releases=(), devices=len(desired or {}))
    _write(folder / MARKER_FILE, marker.encode())
    return folder


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
