"""How fast a rollout goes (rollouts 3.10, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import without_none

PER_MINUTE_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """Begins slowly: `factor` times faster each time that so many more devices have succeeded."""

    base_per_minute: int
    factor: float = 2.0
    after: int = 10  # devices that succeeded

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        exponential = cls(
            base_per_minute=fields.integer("base_per_minute", low=1, high=PER_MINUTE_MAX),
            factor=fields.optional("factor", lambda n: fields.number(n, low=1.1, high=100), 2.0),
            after=fields.optional("after", lambda n: fields.integer(n, low=1, high=10_000_000), 10),
        )
        fields.refuse_rest()
        return exponential

    def as_json(self) -> dict[str, JsonValue]:
        return {"base_per_minute": self.base_per_minute, "factor": self.factor, "after": self.after}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    maximum_per_minute: int = 1000  # devices offered the release in any 60 s
    exponential: Exponential | None = None
    max_in_progress: int | None = None  # devices at it at once
    max_bytes_per_second: int | None = None  # of the variants that devices are told to fetch

    def per_minute(self, succeeded: int) -> int:
        """Devices that may be offered the release in any 60 s once so many have succeeded.

        >>> rate = Rate(exponential=Exponential(base_per_minute=5, factor=2, after=10))
        >>> [rate.per_minute(n) for n in (0, 9, 10, 25, 1000)]
        [5, 5, 10, 20, 1000]
        """
        if self.exponential is None:
            return self.maximum_per_minute
        allowed = float(self.exponential.base_per_minute)
        for _ in range(succeeded // self.exponential.after):
            allowed *= self.exponential.factor
            if allowed >= self.maximum_per_minute:
                break
        return min(self.maximum_per_minute, int(allowed))

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        rate = cls(
            maximum_per_minute=fields.optional(
                "maximum_per_minute", lambda n: fields.integer(n, low=1, high=PER_MINUTE_MAX), 1000
            ),
            exponential=fields.maybe("exponential", lambda n: Exponential.parse(fields.fields(n))),
            max_in_progress=fields.maybe(
                "max_in_progress", lambda n: fields.integer(n, low=1, high=1_000_000)
            ),
            max_bytes_per_second=fields.maybe(
                "max_bytes_per_second", lambda n: fields.integer(n, low=1, high=10**12)
            ),
        )
        fields.refuse_rest()
        if rate.exponential is not None and rate.exponential.base_per_minute > rate.maximum_per_minute:
            raise InvalidField(
                "the rate begins above its maximum",
                where=fields.at("exponential.base_per_minute"),
                why=f"maximum_per_minute is {rate.maximum_per_minute}",
            )
        return rate

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "maximum_per_minute": self.maximum_per_minute,
                "exponential": None if self.exponential is None else self.exponential.as_json(),
                "max_in_progress": self.max_in_progress,
                "max_bytes_per_second": self.max_bytes_per_second,
            }
        )
