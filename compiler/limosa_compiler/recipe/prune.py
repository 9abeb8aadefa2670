"""`[prune]` of the recipe: candidates with weights or channels taken out. Off when absent (compiler 2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

DEFAULT_SHARE: Final = 0.3
SHARE_MAX: Final = 0.95  # more leaves no network


class Kind(Enum):
    MAGNITUDE = "magnitude"
    """Single weights become zero. Size and speed stay; what is sent is smaller."""
    STRUCTURED = "structured"
    """Whole output channels go. The model becomes smaller and faster."""


class Norm(Enum):
    """How large a channel's weights are."""

    L1 = "l1"
    L2 = "l2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneNotes:
    kind: Kind
    share: float = DEFAULT_SHARE  # of the weights, or of the channels, of each layer
    norm: Norm = Norm.L1  # structured only

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField, naming an unknown key's nearest."""
        notes = cls(
            kind=Kind(fields.choice("kind", tuple(kind.value for kind in Kind))),
            share=fields.optional(
                "share", lambda n: fields.number(n, low=0.01, high=SHARE_MAX), DEFAULT_SHARE
            ),
            norm=Norm(fields.optional("norm", lambda n: fields.choice(n, ("l1", "l2")), "l1")),
        )
        fields.refuse_rest()
        return notes

    def as_json(self) -> dict[str, JsonValue]:
        return {"kind": self.kind.value, "share": self.share, "norm": self.norm.value}
