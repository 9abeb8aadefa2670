"""`[search]` of the recipe: which rungs are tried, and how far the search goes (compiler 2.4, 2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_compiler.limits import LIMITS
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

FLOAT_NODES_MAX: Final = 16
KINDS: Final = ("fp16", "int8", "int8-dynamic", "int4", "sensitivity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchNotes:
    """`rungs`: kinds to try besides fp32; none named: what pays on the targets."""

    rungs: tuple[str, ...] | None = None
    float_nodes_max: int = FLOAT_NODES_MAX  # most nodes that the sensitivity search leaves in float
    cache: bool = True  # whether calibration tables are kept for the next build

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField, naming an unknown key's nearest."""
        notes = cls(
            rungs=fields.maybe("rungs", lambda name: _kinds(fields, name)),
            float_nodes_max=fields.optional(
                "float_nodes_max",
                lambda name: fields.integer(name, low=0, high=LIMITS.float_nodes_max),
                FLOAT_NODES_MAX,
            ),
            cache=fields.optional("cache", fields.boolean, True),
        )
        fields.refuse_rest()
        return notes

    def as_json(self) -> dict[str, JsonValue]:
        """What decides candidates; the cache does not."""
        return {
            "rungs": None if self.rungs is None else list(self.rungs),
            "float_nodes_max": self.float_nodes_max,
        }

    def tries(self, kind: str) -> bool:
        return self.rungs is None or kind in self.rungs


def _kinds(fields: Fields, name: str) -> tuple[str, ...]:
    kinds = fields.texts(name, max_items=len(KINDS))
    for kind in kinds:
        if kind not in KINDS:
            raise fields.wrong(name, f"{kind!r} is none of {', '.join(KINDS)}")
    if len(set(kinds)) != len(kinds):
        raise fields.wrong(name, "name each rung once")
    return kinds
