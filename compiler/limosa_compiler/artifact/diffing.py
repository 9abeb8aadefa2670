"""What `limosa diff A B` says: two artifacts side by side, as one JSON object. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from limosa_compiler.artifact.archive_file import Archive, Variant
from limosa_compiler.artifact.interface_changes import Change, interface_changes
from limosa_compiler.evidence.evidence import Evidence
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import SIGNATURE_FILE
from limosa_contracts.serving import FILE, Serving

SCHEMA: Final = "limosa.diff/1"
CANDIDATE: Final = "dev.limosa.candidate"
_DOCUMENTS: Final = {
    "tools": "dev.limosa.tools",
    "inputs": "dev.limosa.inputs",
    "decision": "dev.limosa.decision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One artifact, and its evidence if that is beside it."""

    archive: Archive
    evidence: Evidence | None = None


def compare(old: Side, new: Side) -> dict[str, JsonValue]:
    """`equal`: everything but signatures is the same. `breaking`: a client of `old` may fail with `new`,
    or a target is gone."""
    variants = _variants(old, new)
    breaking = any(item["state"] == "removed" or _is_breaking(item) for item in variants)
    return {
        "schema": SCHEMA,
        "equal": old.archive.content_digest == new.archive.content_digest,
        "breaking": breaking,
        "old": _side(old),
        "new": _side(new),
        "variants": [dict(item) for item in variants],
        "build": {
            name: _differences(_document(old.archive, key), _document(new.archive, key))
            for name, key in _DOCUMENTS.items()
        },
        "transfer": _transfer(old.archive, new.archive),
    }


def _side(side: Side) -> dict[str, JsonValue]:
    return {
        "release": str(side.archive.release),
        "index_digest": side.archive.index_descriptor.digest,
        "signed": all(variant.manifest.has(SIGNATURE_FILE) for variant in side.archive.variants),
        "bytes": sum(item["bytes"] for item in _blobs(side.archive).values()),
        "evidence": side.evidence is not None,
    }


def _variants(old: Side, new: Side) -> list[dict[str, Any]]:
    """In the order of the new artifact; those that are gone come last."""
    was = {variant.name: variant for variant in old.archive.variants}
    now = {variant.name: variant for variant in new.archive.variants}
    names = [*now, *(name for name in was if name not in now)]
    return [_variant(name, old, was.get(name), new, now.get(name)) for name in names]


def _variant(name: str, old: Side, was: Variant | None, new: Side, now: Variant | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": name,
        "candidate": _pair(_candidate(was), _candidate(now)),
        "precision": _pair(_precision(old, was), _precision(new, now)),
        "model_bytes": _pair(_model_bytes(was), _model_bytes(now)),
        "metric": _pair(_metric(old, was), _metric(new, now)),
        "interface": [],
        "files": {},
    }
    if was is None or now is None:
        return said | {"state": "added" if was is None else "removed"}
    files, others = _files(was), _files(now)
    changed = _differences(files, others)
    return said | {
        "state": "changed" if changed or was.requirements != now.requirements else "same",
        "files": changed,
        "requires": _differences(_requires(was), _requires(now)),
        "interface": [change.as_json() for change in _interface(old, was, new, now)],
    }


def _interface(old: Side, was: Variant, new: Side, now: Variant) -> tuple[Change, ...]:
    before, after = _serving(old, was), _serving(new, now)
    return interface_changes(before, after) if before and after else ()


def _is_breaking(item: Mapping[str, Any]) -> bool:
    return any(change["breaking"] for change in item["interface"])


def _serving(side: Side, variant: Variant | None) -> Serving | None:
    if variant is None or not variant.manifest.has(FILE):
        return None
    return Serving.parse(side.archive.files(variant)[FILE])


def _candidate(variant: Variant | None) -> str | None:
    return None if variant is None else variant.manifest.annotations.get(CANDIDATE)


def _precision(side: Side, variant: Variant | None) -> str | None:
    serving = _serving(side, variant)
    return None if serving is None else serving.precision


def _model_bytes(variant: Variant | None) -> int | None:
    return None if variant is None else variant.manifest.layers[0].size


def _metric(side: Side, variant: Variant | None) -> dict[str, JsonValue] | None:
    """On holdout rows, from evidence."""
    if side.evidence is None or variant is None:
        return None
    measured = side.evidence.candidate(_candidate(variant) or "")
    if measured is None:
        return None
    return {
        "name": side.evidence.build.get("metric"),
        "holdout": measured.holdout.metric,
        "points": measured.holdout.points,
        "rows": measured.holdout.rows,
    }


def _requires(variant: Variant) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = json.loads(variant.requirements.encode())
    return value


def _files(variant: Variant) -> dict[str, JsonValue]:
    return {
        layer.filename: layer.digest for layer in variant.manifest.layers if layer.filename != SIGNATURE_FILE
    }


def _document(archive: Archive, key: str) -> dict[str, JsonValue]:
    """An annotation that holds JSON, the same in every variant; nothing where it does not parse."""
    text = archive.variants[0].manifest.annotations.get(key, "") if archive.variants else ""
    try:
        return dict(parse_object(text.encode(), what=key)) if text else {}
    except LimosaError:
        return {}  # another tool's annotation: it says nothing that can be compared


def _differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Name -> [old, new] where they differ; null is not there.

    >>> _differences({"a": 1, "b": 2}, {"b": 3, "c": 4})
    {'a': [1, None], 'b': [2, 3], 'c': [None, 4]}
    """
    return {
        name: [old.get(name), new.get(name)]
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def _pair(old: Any, new: Any) -> list[Any]:
    return [old, new]


def _blobs(archive: Archive) -> dict[str, dict[str, Any]]:
    """Digest -> size and name of everything that a device or a server fetches."""
    found: dict[str, dict[str, Any]] = {
        archive.index_descriptor.digest: {"bytes": archive.index_descriptor.size, "name": "index"}
    }
    for variant in archive.variants:
        found[variant.descriptor.digest] = {"bytes": variant.descriptor.size, "name": "manifest"}
        for layer in (variant.manifest.config, *variant.manifest.layers):
            found[layer.digest] = {"bytes": layer.size, "name": layer.filename or "config"}
    return found


def _transfer(old: Archive, new: Archive) -> dict[str, JsonValue]:
    """What a server that holds the old release lacks of the new one; deltas are not considered."""
    was, now = _blobs(old), _blobs(new)
    shared = [digest for digest in now if digest in was]
    moved = [digest for digest in now if digest not in was]
    return {
        "shared_blobs": len(shared),
        "shared_bytes": sum(now[digest]["bytes"] for digest in shared),
        "moved_blobs": len(moved),
        "moved_bytes": sum(now[digest]["bytes"] for digest in moved),
        "moved": [
            {"name": now[digest]["name"], "bytes": now[digest]["bytes"], "digest": digest} for digest in moved
        ],
    }
