"""Optimised graphs, made on this device and never shipped (agent 5.3).

They lie in `models/<team>/<model>/graphs/<manifest sha256>/`, outside the verified release, and go with
it. One file: a line that says what it is bound to, then the graph. Anything that differs (model, runtime,
options, processor, the bytes themselves) makes it as if it were not there.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS
from limosa_contracts.names import SHA256_HEX
from limosa_contracts.oci import Manifest

log = logging.getLogger(__name__)

GRAPHS: Final = "graphs"
SUFFIX: Final = ".graph"
PART: Final = ".part"
SCHEMA: Final = "limosa.graph/1"
HEAD_MAX_BYTES: Final = 64 * 1024
MANIFEST_FILE: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphKey:
    """What an optimised graph depends on. Equal keys, equal graphs."""

    model_sha256: str
    runtime: str
    version: str  # of the runtime
    options: Mapping[str, JsonValue]
    cpu: str  # architecture and flags of the processor, as a digest

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "model_sha256": self.model_sha256,
            "runtime": self.runtime,
            "version": self.version,
            "options": dict(self.options),
            "cpu": self.cpu,
        }


def graph_folder(release: Path) -> Path | None:
    """Of a release in its slot; None for a folder that is no slot."""
    if release.parent.name != "releases" or not SHA256_HEX.fullmatch(release.name):
        return None
    return release.parents[1] / GRAPHS / release.name


def graph_path(release: Path, key: GraphKey) -> Path | None:
    folder = graph_folder(release)
    return None if folder is None else folder / f"{key.runtime}{SUFFIX}"


def read_graph(release: Path, key: GraphKey) -> bytes | None:
    """The graph of exactly this key; None where there is none, or another, or a damaged one."""
    path = graph_path(release, key)
    if path is None:
        return None
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.readline(HEAD_MAX_BYTES)
            said = Fields(parse_object(head, what=path.name, max_bytes=HEAD_MAX_BYTES), where="graph")
            said.schema(SCHEMA)
            if said.object("key") != key.as_json():
                return None
            expected = said.integer("size", low=1)
            if expected != size - len(head) or expected > LIMITS.blob_max_bytes:
                return None
            graph = file.read(expected)
            wanted = said.text("sha256", pattern=SHA256_HEX)
    except FileNotFoundError:
        return None
    except (OSError, LimosaError) as error:
        log.warning("an optimised graph is left aside: %s", error)
        return None
    if hashlib.sha256(graph).hexdigest() != wanted:
        log.warning("an optimised graph has changed and is left aside: %s", path)
        return None
    return graph


def write_graph(release: Path, key: GraphKey, graph: bytes) -> Path:
    """Its path: whole, or not there, also after a power cut. Raises OSError."""
    path = graph_path(release, key)
    if path is None:
        raise OSError(f"{release} is no slot")
    path.parent.mkdir(parents=True, exist_ok=True)
    said: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "key": key.as_json(),
        "size": len(graph),
        "sha256": hashlib.sha256(graph).hexdigest(),
    }
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            file.write(encode_canonical(said) + b"\n")
            file.write(graph)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    # No fsync of the folder: a graph that is lost is made again.
    return path


def model_digest(release: Path, model_file: str) -> str:
    """sha256 of the model in a slot: out of its manifest, which was verified with it. Raises OSError."""
    with suppress(OSError, LimosaError):
        data = (release / MANIFEST_FILE).read_bytes()
        for layer in Manifest.parse(data[: LIMITS.manifest_max_bytes + 1]).layers:
            if layer.filename == model_file:
                return layer.sha256
    with (release / model_file).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
