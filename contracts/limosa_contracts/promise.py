"""What a variant may cost on a device of its target: what was measured, and what the target takes.

Travels in the signed `custom` of a release's TUF target: measurements differ from run to run, so they may
not be in the artifact (compiler 2.9), and a device judges its self-test by them (agent 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

VARIANTS_MAX: Final = 64  # of one release; what is signed of it stays small
_MOST: Final = 2**50  # bytes or microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPromise:
    """0 promises nothing, or sets no limit. Whole numbers only: what TUF signs holds no others.

    `latency_us` is the median of one row, where the machine that measured is of the target's class;
    `memory_bytes` the peak above what the runtime alone takes. The two limits are the target's own.
    """

    latency_us: int = 0
    memory_bytes: int = 0
    max_latency_us: int = 0
    max_memory_bytes: int = 0

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)

        def amount(name: str) -> int:
            return fields.optional(name, lambda n: fields.integer(n, low=0, high=_MOST), 0)

        return cls(
            latency_us=amount("latency_us"),
            memory_bytes=amount("memory_bytes"),
            max_latency_us=amount("max_latency_us"),
            max_memory_bytes=amount("max_memory_bytes"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        """Without what it does not say."""
        said: dict[str, JsonValue] = {
            "latency_us": self.latency_us,
            "memory_bytes": self.memory_bytes,
            "max_latency_us": self.max_latency_us,
            "max_memory_bytes": self.max_memory_bytes,
        }
        return {name: value for name, value in said.items() if value}


def parse_promises(fields: Fields, name: str) -> dict[str, VariantPromise]:
    """Variant -> its promise. Raises InvalidField."""
    value = fields.object(name)
    if len(value) > VARIANTS_MAX:
        raise fields.wrong(name, f"{len(value)} variants, at most {VARIANTS_MAX}")
    where = fields.at(name)
    return {
        variant: VariantPromise.parse(said, where=f"{where}.{variant}") for variant, said in value.items()
    }


def promises_json(promises: Mapping[str, VariantPromise]) -> dict[str, JsonValue]:
    return {variant: promises[variant].as_json() for variant in sorted(promises)}
