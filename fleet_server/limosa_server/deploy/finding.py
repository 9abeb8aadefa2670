"""One thing that a check of a server found."""

from __future__ import annotations

from dataclasses import dataclass

from limosa_contracts.json_value import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`bad`: something does not hold; else it is worth knowing."""

    bad: bool
    what: str
    where: str
    hint: str = ""

    def as_json(self) -> JsonObject:
        return {"bad": self.bad, "what": self.what, "where": self.where, "hint": self.hint}
