"""How many bytes a device would fetch to get from one variant to another, as far as deltas are known."""

from __future__ import annotations

from limosa_contracts.errors import LimosaError
from limosa_contracts.oci import FILEPATH, Descriptor, Manifest
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.deltas import Deltas


def delta_bytes(blobs: Blobs, deltas: Deltas, base: str, new: str) -> int | None:
    """Between two manifests by their sha256; None where one of them is not here any more.

    A layer that has not changed costs nothing, one with a delta on disk costs that, others cost themselves.
    """
    before, after = _layers(blobs, base), _layers(blobs, new)
    if before is None or after is None:
        return None
    total = 0
    for name, layer in after.items():
        old = before.get(name)
        if old is None:
            total += layer.size
        elif old.digest != layer.digest:
            known = deltas.size_of(_hex(old), _hex(layer))
            total += layer.size if known is None else known
    return total


def _layers(blobs: Blobs, sha256: str) -> dict[str, Descriptor] | None:
    """By the name of the file that each is."""
    try:
        manifest = Manifest.parse(blobs.read(sha256))
    except (LimosaError, OSError):
        return None  # collected, or pushed half: nothing is known of it, and the plan counts the whole
    return {layer.annotations.get(FILEPATH, layer.digest): layer for layer in manifest.layers}


def _hex(layer: Descriptor) -> str:
    return layer.digest.removeprefix("sha256:")
