"""Style, script and icon: read once, named with their hash, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; whatever else lies in the folder is not."""


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str
    sha256: str


@cache
def assets() -> dict[str, Asset]:
    """By path below `static/`."""
    return dict(_under(files("limosa_server").joinpath("static"), ""))


def _under(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if entry.is_dir():
            found += _under(entry, f"{prefix}{entry.name}/")
        elif suffix in TYPES:
            body = entry.read_bytes()
            asset = Asset(body, TYPES[suffix], hashlib.sha256(body).hexdigest())
            found.append((prefix + entry.name, asset))
    return found
