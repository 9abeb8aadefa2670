"""Trying again on a device, where something has changed since (rollouts 3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.duration import format_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import read_duration

ATTEMPTS_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    attempts: int = 0  # beyond the first, of one device
    backoff_s: float = 600.0  # before the second attempt; twice as long before each further one

    def wait_s(self, attempt: int) -> float:
        """Seconds between the failure of this attempt (1 is the first) and the next one.

        >>> [Retry(attempts=3).wait_s(n) for n in (1, 2, 3)]
        [600.0, 1200.0, 2400.0]
        """
        return float(self.backoff_s * 2 ** (attempt - 1))

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        retry = cls(
            attempts=fields.optional("attempts", lambda n: fields.integer(n, low=0, high=ATTEMPTS_MAX), 0),
            backoff_s=fields.optional("backoff", read_duration(fields), 600.0),
        )
        fields.refuse_rest()
        return retry

    def as_json(self) -> dict[str, JsonValue]:
        return {"attempts": self.attempts, "backoff": format_duration(self.backoff_s)}
