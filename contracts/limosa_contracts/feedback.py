"""What applications said of predictions afterwards, as sums of one window (telemetry 5.2, rollouts 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.baseline import CONFIDENCE_BINS
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import NAME

KPIS_MAX: Final = 15
"""Names of one model on one device; the memory of predictions has a bit for each, and one for the label."""
VALUE_MAX: Final = 1e9
"""Of one value: sums of squares stay exact enough, and finite."""
AMOUNT_MAX: Final = 1e250
ACCURACY: Final = "accuracy"
"""The KPI that labels give: no application may send values under this name."""
NO_BINS: Final[tuple[int, ...]] = (0,) * CONFIDENCE_BINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """`n` values, their sum, and the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            n=fields.integer("n", low=0),
            total=fields.number("sum", low=-AMOUNT_MAX, high=AMOUNT_MAX),
            squares=fields.number("squares", low=0, high=AMOUNT_MAX),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"n": self.n, "sum": self.total, "squares": self.squares}

    def plus(self, other: Kpi) -> Kpi:
        return Kpi(n=self.n + other.n, total=self.total + other.total, squares=self.squares + other.squares)

    def minus(self, earlier: Kpi) -> Kpi:
        return Kpi(
            n=max(0, self.n - earlier.n),
            total=self.total - earlier.total,
            squares=max(0.0, self.squares - earlier.squares),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """`labelled` and `correct` per bin of the confidence with which the prediction was given.

    Rows that the model gave no probability for are in no bin.
    """

    kpis: Mapping[str, Kpi] = field(default_factory=dict)
    labelled: tuple[int, ...] = NO_BINS
    correct: tuple[int, ...] = NO_BINS

    @property
    def empty(self) -> bool:
        return not any(self.labelled) and not any(kpi.n for kpi in self.kpis.values())

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        nothing: JsonObject = {}
        given = fields.optional("kpis", fields.object, nothing)
        if len(given) > KPIS_MAX:
            raise InvalidField(
                f"{len(given)} KPIs", where=fields.at("kpis"), why=f"at most {KPIS_MAX} are counted"
            )
        kpis: dict[str, Kpi] = {}
        for name in sorted(given):
            if not NAME.fullmatch(name) or name == ACCURACY:
                raise InvalidField(f"{name[:80]!r} is no name of a KPI", where=fields.at("kpis"))
            kpis[name] = Kpi.parse(Fields(given[name], where=f"{fields.at('kpis')}.{name}"))
        labelled, correct = (
            fields.optional(name, lambda n: fields.integers(n, low=0, max_items=CONFIDENCE_BINS), NO_BINS)
            for name in ("labelled", "correct")
        )
        if not len(labelled) == len(correct) == CONFIDENCE_BINS:
            raise fields.wrong("labelled", f"{CONFIDENCE_BINS} bins are needed")
        if any(right > all_ for right, all_ in zip(correct, labelled, strict=True)):
            raise fields.wrong("correct", "more are correct than were labelled")
        fields.refuse_rest()
        return cls(kpis=kpis, labelled=labelled, correct=correct)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "kpis": {name: self.kpis[name].as_json() for name in sorted(self.kpis)},
            "labelled": list(self.labelled),
            "correct": list(self.correct),
        }

    def plus(self, other: Feedback) -> Feedback:
        """At most KPIS_MAX names, the first in the order of their letters: two starts of an agent may
        have known others."""
        names = sorted({*self.kpis, *other.kpis})[:KPIS_MAX]
        none = Kpi()
        return Feedback(
            kpis={name: self.kpis.get(name, none).plus(other.kpis.get(name, none)) for name in names},
            labelled=tuple(a + b for a, b in zip(self.labelled, other.labelled, strict=True)),
            correct=tuple(a + b for a, b in zip(self.correct, other.correct, strict=True)),
        )

    def minus(self, earlier: Feedback) -> Feedback:
        """What came since `earlier`, of the same source."""
        none = Kpi()
        return Feedback(
            kpis={name: kpi.minus(earlier.kpis.get(name, none)) for name, kpi in self.kpis.items()},
            labelled=tuple(max(0, a - b) for a, b in zip(self.labelled, earlier.labelled, strict=True)),
            correct=tuple(max(0, a - b) for a, b in zip(self.correct, earlier.correct, strict=True)),
        )
