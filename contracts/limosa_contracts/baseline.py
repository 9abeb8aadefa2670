"""`baseline.json`: what the model saw and said before it left (telemetry 2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS

SCHEMA: Final = "limosa.baseline/1"
CELLS: Final = 256
BINS: Final = 32  # 30 of equal mass and two tails
TRANSFORMS: Final = ("none", "asinh")
CONFIDENCE_BINS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBaseline:
    """One feature. cell = floor((transform(x) - low) / (high - low) * 256), clipped to 0..255;
    bin = how many of `edges` (31 ascending cells, 1..255) are <= cell. NaN is counted apart."""

    name: str
    transform: str
    low: float
    high: float
    edges: tuple[int, ...]
    counts: tuple[int, ...]  # 32
    missing: int
    mean: float  # of the transformed values that are finite
    std: float

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        result = cls(
            name=fields.text("name", max_chars=128),
            transform=fields.choice("transform", TRANSFORMS),
            low=fields.number("low"),
            high=fields.number("high"),
            edges=fields.integers("edges", low=0, max_items=BINS - 1),
            counts=fields.integers("counts", low=0, max_items=BINS),
            missing=fields.integer("missing", low=0),
            mean=fields.number("mean"),
            std=fields.number("std", low=0),
        )
        if len(result.edges) != BINS - 1 or len(result.counts) != BINS:
            raise InvalidField(f"{BINS - 1} edges and {BINS} counts are needed", where=where)
        if list(result.edges) != sorted(result.edges) or result.edges[-1] > CELLS:
            raise InvalidField(f"edges must ascend within 0..{CELLS}", where=f"{where}.edges")
        if not result.high > result.low:
            raise InvalidField("high must be above low", where=where)
        return result

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "transform": self.transform,
            "low": self.low,
            "high": self.high,
            "edges": list(self.edges),
            "counts": list(self.counts),
            "missing": self.missing,
            "mean": self.mean,
            "std": self.std,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """`confidence`: per bin of the top probability (ten of equal width) (rows, correct rows)."""

    rows: int
    features: tuple[FeatureBaseline, ...]
    class_counts: tuple[int, ...]
    confidence: tuple[tuple[int, int], ...]
    extra: JsonObject = field(default_factory=dict)

    @property
    def baseline_id(self) -> str:
        """16 hex digits: a hash of everything that decides into which bin a value falls (2.2)."""
        edges: list[JsonValue] = [[f.name, f.transform, f.low, f.high, list(f.edges)] for f in self.features]
        text = encode_canonical({"edges": edges, "classes": len(self.class_counts)})
        return hashlib.sha256(text).hexdigest()[:16]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(
            parse_object(data, what="baseline", max_bytes=LIMITS.document_max_bytes), where="baseline"
        )
        fields.schema(SCHEMA)
        pairs: list[tuple[int, int]] = []
        for place, item in fields.items("confidence", max_items=CONFIDENCE_BINS):
            if (
                not isinstance(item, (list, tuple))
                or len(item) != 2
                or not all(isinstance(x, int) for x in item)
            ):
                raise InvalidField("a pair of whole numbers is needed", where=place)
            pairs.append((int(str(item[0])), int(str(item[1]))))
        return cls(
            rows=fields.integer("rows", low=0),
            features=tuple(
                FeatureBaseline.parse(item, where=place)
                for place, item in fields.items("features", max_items=LIMITS.features_max)
            ),
            class_counts=fields.integers("class_counts", low=0, max_items=LIMITS.classes_max),
            confidence=tuple(pairs),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": SCHEMA,
                "rows": self.rows,
                "features": [feature.as_json() for feature in self.features],
                "class_counts": list(self.class_counts),
                "confidence": [list(pair) for pair in self.confidence],
            }
        )
