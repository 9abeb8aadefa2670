"""What a comparison is made on: one number per device, metric and arm, by stratum (rollouts 5.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.analysis import AnalysisRule
from limosa_server.core.judging.spending import Look

SCHEMA: Final = "limosa.comparison/1"
INPUTS_MAX_BYTES: Final = 8 * 1024 * 1024  # 1,000 devices and 16 metrics take 300 KB
DECIMALS: Final = 6  # of a number of one device: finer than any clock of a device
_ARM_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Devices that are alike but for their version. 0 or 1 for a rate, logarithms for a ratio."""

    name: str
    treated: tuple[float, ...]
    control: tuple[float, ...]

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            name=fields.text("name", max_chars=1024, empty=True),
            treated=_numbers(fields, "treated"),
            control=_numbers(fields, "control"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {"name": self.name, "treated": list(self.treated), "control": list(self.control)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`own_before`: each number is against the same device's own before (rollouts 5.2)."""

    metric: str
    strata: tuple[Stratum, ...]
    own_before: bool = False

    @property
    def treated(self) -> int:
        return sum(len(stratum.treated) for stratum in self.strata)

    @property
    def control(self) -> int:
        return sum(len(stratum.control) for stratum in self.strata)

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            metric=fields.text("metric", max_chars=64),
            strata=tuple(Stratum.parse(item, where=place) for place, item in fields.items("strata")),
            own_before=fields.boolean("own_before"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "metric": self.metric,
            "strata": [stratum.as_json() for stratum in self.strata],
            "own_before": self.own_before,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that the judge knows when it decides; its bytes are kept beside the decision (rollouts 5.6).

    `devices`: treated and controls of the cohort, whether they said something or not. `wave`: its name.
    """

    wave: str
    look: Look
    baked_s: float
    devices: tuple[int, int]
    rules: tuple[AnalysisRule, ...]
    samples: tuple[Sample, ...]

    def sample(self, metric: str) -> Sample:
        found = (sample for sample in self.samples if sample.metric == metric)
        return next(found, Sample(metric=metric, strata=()))

    def encode(self) -> bytes:
        return encode_canonical(
            {
                "schema": SCHEMA,
                "wave": self.wave,
                "look": self.look.as_json(),
                "baked_s": self.baked_s,
                "devices": list(self.devices),
                "rules": [rule.as_json() for rule in self.rules],
                "samples": [sample.as_json() for sample in self.samples],
            }
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(parse_object(data, what="comparison", max_bytes=INPUTS_MAX_BYTES), where="comparison")
        fields.schema(SCHEMA)
        devices = fields.integers("devices", low=0, max_items=2)
        if len(devices) != 2:
            raise InvalidField("two numbers are needed", where="comparison.devices")
        return cls(
            wave=fields.text("wave", max_chars=128),
            look=Look.parse(fields.fields("look")),
            baked_s=fields.number("baked_s", low=0),
            devices=(devices[0], devices[1]),
            rules=tuple(AnalysisRule.parse(item, where=place) for place, item in fields.items("rules")),
            samples=tuple(Sample.parse(item, where=place) for place, item in fields.items("samples")),
        )


def _numbers(fields: Fields, name: str) -> tuple[float, ...]:
    return tuple(
        Fields({"value": item}, where=place).number("value")
        for place, item in fields.items(name, max_items=_ARM_MAX)
    )
