"""What refers to which blob in one repository: from tags and releases down to layers (server 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limosa_contracts.errors import LimosaError
from limosa_server.core.lifecycle.retention import StoredBlob
from limosa_server.errors import BlobDamaged
from limosa_server.registry import registry_rows
from limosa_server.registry.blobs import Blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """One repository: its blobs, which of them are manifests, where to begin, and tags that lead nowhere."""

    blobs: Sequence[StoredBlob]
    media_types: dict[str, str]  # of manifests and indexes
    digests: frozenset[str]
    dead_tags: tuple[str, ...]


def reachable(blobs: Blobs, roots: Roots) -> frozenset[str]:
    """Digests that a root leads to, itself among them. Raises BlobDamaged."""
    found: set[str] = set()
    waiting = sorted(roots.digests)
    while waiting:
        sha256 = waiting.pop()
        if sha256 in found:
            continue
        found.add(sha256)
        media_type = roots.media_types.get(sha256, "")
        if media_type:
            waiting.extend(_below(blobs, sha256, media_type))
    return frozenset(found)


def _below(blobs: Blobs, sha256: str, media_type: str) -> list[str]:
    try:
        return [one.sha256 for one in registry_rows.referred(blobs.read(sha256), media_type)]
    except (OSError, LimosaError) as error:
        # It was parsed when it was pushed. What it referred to cannot be known: nothing goes.
        raise BlobDamaged(
            "a manifest cannot be read, so nothing is collected", where=f"sha256:{sha256}", why=str(error)
        ) from error
