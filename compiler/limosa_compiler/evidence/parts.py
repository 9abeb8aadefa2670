"""What evidence may say beyond the candidates: sensitivity, ranges, importance, errors, promises.

All of it is optional: evidence of a build that did not look has none, and old evidence still parses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

NAME_MAX_CHARS: Final = 1024  # names of nodes and tensors are the exporter's: whole module paths
NODES_MAX: Final = 512
RANGES_MAX: Final = 128  # the widest and the most cut; a network of 10,000 nodes has as many ranges
PAIRS_MAX: Final = 512  # of a confusion matrix, the most frequent first
SAMPLES_MAX: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSensitivity:
    """What quantizing this one node alone does to the output; less is worse.

    Where targets need 8-bit and 7-bit weights, and both were searched: by the bits that it stands worst.
    """

    name: str
    op_type: str
    sqnr_db: float  # signal to quantization noise of the model's output, in decibel
    float_in_choice: bool = False  # whether a chosen candidate leaves it in float

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            name=fields.text("name", max_chars=NAME_MAX_CHARS),
            op_type=fields.text("op_type", max_chars=128),
            sqnr_db=fields.number("sqnr_db"),
            float_in_choice=fields.boolean("float_in_choice"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "op_type": self.op_type,
            "sqnr_db": self.sqnr_db,
            "float_in_choice": self.float_in_choice,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSummary:
    """One calibrated tensor: its extremes, and what is left when tails are cut."""

    tensor: str
    low: float
    high: float
    kept_low: float
    kept_high: float

    @property
    def cut_share(self) -> float:
        """Of the extremes' span that the tails alone took, 0..1.

        >>> RangeSummary(tensor="t", low=-10, high=10, kept_low=-1, kept_high=1).cut_share
        0.9
        """
        span = self.high - self.low
        return 1 - (self.kept_high - self.kept_low) / span if span > 0 else 0.0

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            tensor=fields.text("tensor", max_chars=NAME_MAX_CHARS),
            low=fields.number("low"),
            high=fields.number("high"),
            kept_low=fields.number("kept_low"),
            kept_high=fields.number("kept_high"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "tensor": self.tensor,
            "low": self.low,
            "high": self.high,
            "kept_low": self.kept_low,
            "kept_high": self.kept_high,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureImportance:
    """Points that the metric loses when one feature's values are dealt to other rows."""

    input: str
    feature: str
    points: float  # lost; positive: the model relies on it
    low_points: float  # 95 % interval, paired bootstrap over rows
    high_points: float

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            input=fields.text("input", max_chars=256),
            feature=fields.text("feature", max_chars=256),
            points=fields.number("points"),
            low_points=fields.number("low_points"),
            high_points=fields.number("high_points"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "input": self.input,
            "feature": self.feature,
            "points": self.points,
            "low_points": self.low_points,
            "high_points": self.high_points,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Confused:
    """So many holdout rows of class `true` were answered with class `said`; hits are in it too."""

    true: str
    said: str
    rows: int

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            true=fields.text("true", max_chars=256, empty=True),
            said=fields.text("said", max_chars=256, empty=True),
            rows=fields.integer("rows", low=1),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"true": self.true, "said": self.said, "rows": self.rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    """One holdout row and what the metric is on it alone."""

    row: int  # in the order of the holdout rows, from 0
    metric: float
    note: str = ""  # label and answer where they are short

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            row=fields.integer("row", low=0),
            metric=fields.number("metric"),
            note=fields.optional("note", lambda n: fields.text(n, max_chars=512, empty=True), ""),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"row": self.row, "metric": self.metric, "note": self.note}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """Where one candidate is wrong on holdout rows: pairs of classes, or the worst rows."""

    candidate: str
    classes: tuple[str, ...] = ()
    pairs: tuple[Confused, ...] = ()
    worst: tuple[WorstRow, ...] = ()

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            candidate=fields.text("candidate", max_chars=128),
            classes=fields.texts("classes"),
            pairs=tuple(Confused.parse(item, where=place) for place, item in fields.items("pairs")),
            worst=tuple(WorstRow.parse(item, where=place) for place, item in fields.items("worst")),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "candidate": self.candidate,
            "classes": list(self.classes),
            "pairs": [pair.as_json() for pair in self.pairs],
            "worst": [row.as_json() for row in self.worst],
        }
