"""How fast a rollout goes (rollouts 3.10, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import refuse_later, without_none


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    maximum_per_minute: int = 1000  # devices offered the release in any 60 s
    max_in_progress: int | None = None  # devices at it at once

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        refuse_later(fields, "rate")
        rate = cls(
            maximum_per_minute=fields.optional(
                "maximum_per_minute", lambda n: fields.integer(n, low=1, high=1_000_000), 1000
            ),
            max_in_progress=fields.maybe(
                "max_in_progress", lambda n: fields.integer(n, low=1, high=1_000_000)
            ),
        )
        fields.refuse_rest()
        return rate

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {"maximum_per_minute": self.maximum_per_minute, "max_in_progress": self.max_in_progress}
        )
