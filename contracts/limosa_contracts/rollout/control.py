"""`[control]`: who stays on the old version while a wave bakes (rollouts 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import LABEL_KEY

PROFILE: Final = "profile"
PREVIOUS_VERSION: Final = "previous_version"
STRATIFY_BY: Final = (PROFILE, PREVIOUS_VERSION, "site")
STRATIFY_MAX: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """`percent`: of the devices that a wave and those after it have, kept as controls; 0 for none, and
    the counts alone decide. `stratify_by`: profile, previous_version, or a label, the coarsest first."""

    percent: float = 20.0
    stratify_by: tuple[str, ...] = STRATIFY_BY

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        control = cls(
            percent=fields.optional("percent", lambda n: fields.number(n, low=0, high=50), 20.0),
            stratify_by=fields.optional(
                "stratify_by",
                lambda n: fields.texts(n, pattern=LABEL_KEY, max_items=STRATIFY_MAX),
                STRATIFY_BY,
            ),
        )
        fields.refuse_rest()
        if len(set(control.stratify_by)) != len(control.stratify_by):
            raise InvalidField("a key is named twice", where=fields.at("stratify_by"))
        return control

    def as_json(self) -> dict[str, JsonValue]:
        return {"percent": self.percent, "stratify_by": list(self.stratify_by)}
