"""What a TUF target says of a release, in its signed `custom` (trust 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import VERSION
from limosa_contracts.promise import VariantPromise, parse_promises, promises_json

SCHEMA: Final = "limosa.release/1"
DIRECTOR_TARGET: Final = "limosa/director.json"
"""The TUF target of the top role with the director's key: {"schema": "limosa.director/1", "pem": …}."""
DIRECTOR_SCHEMA: Final = "limosa.director/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCustom:
    """`release_counter` grows with each release of a model; a device never installs a lower one than
    it committed, unless the release it runs lists the version in `may_return_to`, or a permit."""

    release_counter: int
    may_return_to: tuple[str, ...] = ()
    min_agent: str = "0.1.0"
    promises: Mapping[str, VariantPromise] = field(default_factory=dict)  # by variant
    extra: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, value: JsonValue) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where="custom")
        fields.schema(SCHEMA)
        return cls(
            release_counter=fields.integer("release_counter", low=1),
            may_return_to=fields.optional(
                "may_return_to", lambda n: fields.texts(n, pattern=VERSION, max_items=64), ()
            ),
            min_agent=fields.optional("min_agent", lambda n: fields.text(n, pattern=VERSION), "0.1.0"),
            promises=fields.optional("promises", lambda n: parse_promises(fields, n), {}),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        said: dict[str, JsonValue] = {"promises": promises_json(self.promises)} if self.promises else {}
        return {
            **self.extra,
            **said,
            "schema": SCHEMA,
            "release_counter": self.release_counter,
            "may_return_to": list(self.may_return_to),
            "min_agent": self.min_agent,
        }
