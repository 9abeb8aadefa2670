"""Who must agree before a rollout starts (rollouts 2, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

APPROVERS_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    approvers: int = 1  # people who must agree; one who denies ends it
    four_eyes: bool = True  # who made the rollout is not one of them
    remark: bool = False  # each must say why

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        approval = cls(
            approvers=fields.optional("approvers", lambda n: fields.integer(n, low=1, high=APPROVERS_MAX), 1),
            four_eyes=fields.optional("four_eyes", fields.boolean, True),
            remark=fields.optional("remark", fields.boolean, False),
        )
        fields.refuse_rest()
        return approval

    def as_json(self) -> dict[str, JsonValue]:
        return {"approvers": self.approvers, "four_eyes": self.four_eyes, "remark": self.remark}
