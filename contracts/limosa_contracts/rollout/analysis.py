"""`[[analysis]]`: what is compared with the controls, and how much worse is too much (rollouts 5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.metrics import METRICS, Direction, Metric, NoData
from limosa_contracts.rollout.reading import read_choice, without_none

LOOKS: Final = 4  # in a bake; each costs certainty, so their number is fixed beforehand (rollouts 5.5)
LOOKS_MAX: Final = 12
ALPHA: Final = 0.025
MIN_DEVICES_PER_ARM: Final = 10
ANALYSIS_MAX: Final = 16


class OnInconclusive(Enum):
    EXTEND = "extend"
    """The bake is doubled, once; then the rollout pauses."""
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRule:
    """One metric of a comparison. `alpha`: the chance of a false stop per rollout, and of a false pass
    per wave, that is accepted for it; those that are not critical share one."""

    metric: str
    direction: Direction = Direction.UP
    margin: float | None = None  # None: the metric's own, or by the number of devices
    critical: bool = False
    no_data: NoData = NoData.INCONCLUSIVE
    min_devices_per_arm: int = MIN_DEVICES_PER_ARM
    looks: int = LOOKS
    alpha: float = ALPHA

    @property
    def about(self) -> Metric:
        return METRICS[self.metric]

    @classmethod
    def of(cls, metric: Metric) -> Self:
        return cls(
            metric=metric.name,
            direction=metric.direction,
            margin=metric.margin,
            critical=metric.critical,
            no_data=metric.no_data,
        )

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        """Raises InvalidField."""
        fields = Fields(value, where=where)
        metric = METRICS[fields.choice("metric", tuple(METRICS))]
        rule = cls(
            metric=metric.name,
            direction=Direction(read_choice(fields, Direction, "direction", metric.direction.value)),
            margin=fields.optional(
                "margin", lambda n: fields.number(n, low=0.0001, high=10.0), metric.margin
            ),
            critical=fields.optional("critical", fields.boolean, metric.critical),
            no_data=NoData(read_choice(fields, NoData, "no_data", metric.no_data.value)),
            min_devices_per_arm=fields.optional(
                "min_devices_per_arm",
                lambda n: fields.integer(n, low=3, high=10_000),
                MIN_DEVICES_PER_ARM,
            ),
            looks=fields.optional("looks", lambda n: fields.integer(n, low=1, high=LOOKS_MAX), LOOKS),
            alpha=fields.optional("alpha", lambda n: fields.number(n, low=0.0001, high=0.2), ALPHA),
        )
        fields.refuse_rest()
        return rule

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "metric": self.metric,
                "direction": self.direction.value,
                "margin": self.margin,
                "critical": self.critical,
                "no_data": self.no_data.value,
                "min_devices_per_arm": self.min_devices_per_arm,
                "looks": self.looks,
                "alpha": self.alpha,
            }
        )


DEFAULT_ANALYSIS: Final = tuple(AnalysisRule.of(metric) for metric in METRICS.values() if metric.default)


def read_analysis(fields: Fields) -> tuple[AnalysisRule, ...]:
    """The `analysis` of a rollout; without any, every metric with its defaults. Raises InvalidField."""
    if not fields.has("analysis"):
        fields.maybe("analysis", fields.raw)
        return DEFAULT_ANALYSIS
    rules = tuple(
        AnalysisRule.parse(item, where=place)
        for place, item in fields.items("analysis", max_items=ANALYSIS_MAX)
    )
    if not rules:
        raise InvalidField(
            "a comparison looks at one metric at least",
            where=fields.at("analysis"),
            hint="control.percent = 0 for no comparison",
        )
    if len({rule.metric for rule in rules}) != len(rules):
        raise InvalidField("a metric is named twice", where=fields.at("analysis"))
    if len({rule.looks for rule in rules}) != 1:
        raise InvalidField(
            "the looks are those of the wave, so all metrics have the same",
            where=fields.at("analysis"),
            hint=f"looks = {rules[0].looks} in each",
        )
    return rules


def read_on_inconclusive(fields: Fields) -> OnInconclusive:
    return OnInconclusive(read_choice(fields, OnInconclusive, "on_inconclusive", OnInconclusive.EXTEND.value))
