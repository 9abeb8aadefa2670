"""When a wave has succeeded (rollouts 3.2, 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_contracts.duration import format_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import read_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    percent: float = 95.0  # of executed devices, not of the whole wave (rollouts 3.2)
    min_succeeded: int = 1  # fewer successes than this in a wave: undecided, never passed
    reachable_within_s: float = 7 * 86400.0  # how long the tail waits for devices that are away
    min_reachable_executed: float = 80.0  # percent

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        success = cls(
            percent=fields.optional("percent", lambda n: fields.number(n, low=0.001, high=100), 95.0),
            min_succeeded=fields.optional(
                "min_succeeded", lambda n: fields.integer(n, low=1, high=10_000_000), 1
            ),
            reachable_within_s=fields.optional("reachable_within", read_duration(fields), 7 * 86400.0),
            min_reachable_executed=fields.optional(
                "min_reachable_executed", lambda n: fields.number(n, low=0, high=100), 80.0
            ),
        )
        fields.refuse_rest()
        return success

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "percent": self.percent,
            "min_succeeded": self.min_succeeded,
            "reachable_within": format_duration(self.reachable_within_s),
            "min_reachable_executed": self.min_reachable_executed,
        }
