"""Where a challenger disagrees with the version that answers: a sketch of one window (telemetry 1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.baseline import CONFIDENCE_BINS
from limosa_contracts.errors import InvalidField
from limosa_contracts.feedback import NO_BINS
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.limits import LIMITS

PAIRS_MAX: Final = 64
"""Pairs of classes that are told apart; later ones are in no pair, and counted with the others."""
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSketch:
    """Rows that were compared, and that disagree, per bin of the active version's confidence; and which
    class the challenger gave for which: (active's, challenger's) -> rows.

    A model without probabilities has no bins and no pairs: its rows are in the window's counters alone.
    """

    compared: tuple[int, ...] = NO_BINS
    disagreed: tuple[int, ...] = NO_BINS
    pairs: Mapping[Pair, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        compared, disagreed = (
            fields.integers(name, low=0, max_items=CONFIDENCE_BINS) for name in ("compared", "disagreed")
        )
        if not len(compared) == len(disagreed) == CONFIDENCE_BINS:
            raise fields.wrong("compared", f"{CONFIDENCE_BINS} bins are needed")
        if any(other > rows for other, rows in zip(disagreed, compared, strict=True)):
            raise fields.wrong("disagreed", "more disagree than were compared")
        pairs: dict[Pair, int] = {}
        for place, item in fields.items("pairs", max_items=PAIRS_MAX):
            row = Fields({"pair": item}, where=place).integers("pair", low=0, max_items=3)
            if len(row) != 3 or max(row[:2]) >= LIMITS.classes_max or (row[0], row[1]) in pairs:
                raise InvalidField("a pair is two classes and its rows, once", where=place)
            pairs[row[0], row[1]] = row[2]
        fields.refuse_rest()
        return cls(compared=compared, disagreed=disagreed, pairs=pairs)

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "compared": list(self.compared),
            "disagreed": list(self.disagreed),
            "pairs": [[ours, theirs, rows] for (ours, theirs), rows in sorted(self.pairs.items())],
        }

    def plus(self, other: ShadowSketch) -> ShadowSketch:
        """Of more than PAIRS_MAX pairs those with the most rows stay."""
        total = {
            pair: self.pairs.get(pair, 0) + other.pairs.get(pair, 0) for pair in {*self.pairs, *other.pairs}
        }
        kept = sorted(total, key=lambda pair: (-total[pair], pair))[:PAIRS_MAX]
        return ShadowSketch(
            compared=tuple(a + b for a, b in zip(self.compared, other.compared, strict=True)),
            disagreed=tuple(a + b for a, b in zip(self.disagreed, other.disagreed, strict=True)),
            pairs={pair: total[pair] for pair in sorted(kept)},
        )

    def minus(self, earlier: ShadowSketch) -> ShadowSketch:
        """What came since `earlier`, of the same source."""
        fresh = {pair: rows - earlier.pairs.get(pair, 0) for pair, rows in self.pairs.items()}
        return ShadowSketch(
            compared=tuple(max(0, a - b) for a, b in zip(self.compared, earlier.compared, strict=True)),
            disagreed=tuple(max(0, a - b) for a, b in zip(self.disagreed, earlier.disagreed, strict=True)),
            pairs={pair: rows for pair, rows in sorted(fresh.items()) if rows > 0},
        )
