"""Which devices go back when a rollout fails, and to what (rollouts 4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import check_version
from limosa_contracts.rollout.abort import AbortRule, Action
from limosa_contracts.rollout.reading import enum_values


class Scope(Enum):
    """Which devices go back when a rollout fails."""

    NONE = "none"
    WAVE = "wave"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFailure:
    rollback: Scope = Scope.NONE
    to: str = ""  # a version; "": what each device ran before

    @classmethod
    def parse(cls, fields: Fields, *, default: Scope) -> Self:
        on_failure = cls(
            rollback=Scope(
                fields.optional("rollback", lambda n: fields.choice(n, enum_values(Scope)), default.value)
            ),
            to=fields.optional("to", lambda n: check_version(fields.text(n)), ""),
        )
        fields.refuse_rest()
        return on_failure

    def as_json(self) -> dict[str, JsonValue]:
        return {"rollback": self.rollback.value, **({"to": self.to} if self.to else {})}


def read_on_failure(fields: Fields, rules: tuple[AbortRule, ...]) -> OnFailure:
    """Of a whole rollout. A rule that rolls back makes `rollback` "all". Raises InvalidField."""
    rolls_back = any(rule.action is Action.ROLLBACK for rule in rules)
    default = Scope.ALL if rolls_back else Scope.NONE
    on_failure = fields.optional(
        "on_failure",
        lambda n: OnFailure.parse(fields.fields(n), default=default),
        OnFailure(rollback=default),
    )
    if on_failure.rollback is Scope.NONE and rolls_back:
        raise InvalidField(
            "an abort rule rolls back, but on_failure.rollback is none",
            where=fields.at("on_failure.rollback"),
            hint='write rollback = "all", or action = "cancel"',
        )
    return on_failure
