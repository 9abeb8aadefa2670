"""A rung of which there is no candidate, and why: people find it in the evidence, not in a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

NOT_APPLICABLE: Final = "not_applicable"  # the model has nothing that it would change
NOT_MADE: Final = "not_made"  # what makes it failed on this model
DOES_NOT_LOAD: Final = "does_not_load"  # it was made, and the runtime refuses it
SAME_BYTES: Final = "same_bytes"  # as the candidate that `detail` names
REASONS: Final = (NOT_APPLICABLE, NOT_MADE, DOES_NOT_LOAD, SAME_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    name: str
    reason: str  # one of REASONS
    detail: str = ""

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        return cls(
            name=fields.text("name", max_chars=128),
            reason=fields.choice("reason", REASONS),
            detail=fields.text("detail", max_chars=1000, empty=True),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "reason": self.reason, "detail": self.detail}
