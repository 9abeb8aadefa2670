"""Abort rules: when it is enough (rollouts 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import enum_values, without_none

RULES_MAX: Final = 16


class Failure(Enum):
    """What an abort rule counts."""

    FAILED = "failed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    SILENT = "silent"
    """Switched, then not heard of for `timeouts.silence`."""
    ALL = "all"
    """All of the above but silence: many fleets are offline half the time (rollouts 3.4)."""


class Action(Enum):
    PAUSE = "pause"
    CANCEL = "cancel"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortRule:
    """Fires when the lower Wilson bound of failed/executed exceeds `threshold` (rollouts 3.3)."""

    failure: Failure = Failure.ALL
    threshold: float = 0.10  # 0 < x < 1, of executed devices
    min_executed: int | None = None  # None: 10, but at most the group
    confidence: float = 0.95  # one-sided
    action: Action = Action.PAUSE
    hard_stop_count: int | None = None  # this many failures stop it, whatever the bound says

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        rule = cls(
            failure=Failure(
                fields.optional("failure", lambda n: fields.choice(n, enum_values(Failure)), "all")
            ),
            threshold=fields.optional("threshold", lambda n: fields.number(n, low=0.0001, high=0.9999), 0.10),
            min_executed=fields.maybe("min_executed", lambda n: fields.integer(n, low=1, high=10_000_000)),
            confidence=fields.optional("confidence", lambda n: fields.number(n, low=0.5, high=0.9999), 0.95),
            action=Action(
                fields.optional("action", lambda n: fields.choice(n, enum_values(Action)), "pause")
            ),
            hard_stop_count=fields.maybe(
                "hard_stop_count", lambda n: fields.integer(n, low=1, high=10_000_000)
            ),
        )
        fields.refuse_rest()
        return rule

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "failure": self.failure.value,
                "threshold": self.threshold,
                "min_executed": self.min_executed,
                "confidence": self.confidence,
                "action": self.action.value,
                "hard_stop_count": self.hard_stop_count,
            }
        )


DEFAULT_ABORT: Final[tuple[AbortRule, ...]] = (AbortRule(),)


def read_rules(fields: Fields) -> tuple[AbortRule, ...]:
    """Of a whole rollout; DEFAULT_ABORT where it names none. Raises InvalidField."""
    return fields.optional(
        "abort",
        lambda n: tuple(
            AbortRule.parse(item, where=place) for place, item in fields.items(n, max_items=RULES_MAX)
        ),
        DEFAULT_ABORT,
    )
