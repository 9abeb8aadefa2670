"""What differs between two releases: variants, sizes, requirements, metrics. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limosa_contracts.json_value import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFacts:
    """One variant of a release, by its name."""

    manifest_sha256: str
    size_bytes: int
    precision: str
    baseline_id: str
    requires: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """`metrics`: by target, what its evidence says of the candidate that was chosen."""

    name: str
    size_bytes: int
    min_agent: str
    may_return_to: Sequence[str]
    stage: str
    devices: int
    variants: Mapping[str, VariantFacts]
    metrics: Mapping[str, JsonObject]


def compare(old: ReleaseFacts, new: ReleaseFacts) -> dict[str, JsonValue]:
    """Only what differs stands in `changed`; both sides of each."""
    names = sorted(old.variants.keys() | new.variants.keys())
    changed: dict[str, JsonValue] = {
        field: {"old": before, "new": after}
        for field, before, after in (
            ("size_bytes", old.size_bytes, new.size_bytes),
            ("min_agent", old.min_agent, new.min_agent),
            ("may_return_to", list(old.may_return_to), list(new.may_return_to)),
            ("stage", old.stage, new.stage),
            ("devices", old.devices, new.devices),
        )
        if before != after
    }
    return {
        "old": old.name,
        "new": new.name,
        "changed": changed,
        "variants": [_variant(name, old.variants.get(name), new.variants.get(name)) for name in names],
        "metrics": [
            _metric(target, old.metrics.get(target), new.metrics.get(target))
            for target in sorted(old.metrics.keys() | new.metrics.keys())
        ],
    }


def _variant(name: str, old: VariantFacts | None, new: VariantFacts | None) -> dict[str, JsonValue]:
    if old is None or new is None:
        there = old or new
        assert there is not None
        return {
            "name": name,
            "what": "added" if old is None else "removed",
            "old": None if old is None else old.size_bytes,
            "new": None if new is None else new.size_bytes,
            "changed": {},
        }
    pairs: tuple[tuple[str, JsonValue, JsonValue], ...] = (
        ("size_bytes", old.size_bytes, new.size_bytes),
        ("precision", old.precision, new.precision),
        ("baseline", old.baseline_id, new.baseline_id),
        *(
            (f"requires.{key}", old.requires.get(key), new.requires.get(key))
            for key in sorted(old.requires.keys() | new.requires.keys())
        ),
    )
    same_bytes = old.manifest_sha256 == new.manifest_sha256
    return {
        "name": name,
        "what": "same" if same_bytes else "changed",
        "old": old.size_bytes,
        "new": new.size_bytes,
        "changed": {field: {"old": a, "new": b} for field, a, b in pairs if a != b},
    }


def _metric(target: str, old: JsonObject | None, new: JsonObject | None) -> dict[str, JsonValue]:
    return {"target": target, "old": dict(old) if old else None, "new": dict(new) if new else None}
