"""Waves: which part of the target is offered the release together (rollouts 1, 4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.duration import format_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME
from limosa_contracts.rollout.reading import enum_values, read_duration, read_selector, without_none
from limosa_contracts.selector import Selector

WAVES_MAX: Final = 32


class Then(Enum):
    NEXT = "next"
    """The next wave starts when the gate has passed."""
    PAUSE = "pause"
    """The rollout pauses after the gate; an operator resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """`percent` is cumulative: the share of the group that has the release when this wave is through.
    `count` and `selector` are this wave's own. A wave with none of the three takes the rest."""

    name: str
    percent: float | None = None
    count: int | None = None
    selector: Selector | None = None
    min_devices: int | None = None  # None: 20, but at most a fifth of the group
    bake_s: float = 86400.0
    then: Then = Then.NEXT

    @property
    def takes_rest(self) -> bool:
        return self.percent is None and self.count is None and self.selector is None

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        wave = cls(
            name=fields.text("name", pattern=NAME),
            percent=fields.maybe("percent", lambda n: fields.number(n, low=0.001, high=100)),
            count=fields.maybe("count", lambda n: fields.integer(n, low=1, high=10_000_000)),
            selector=fields.maybe("selector", read_selector(fields)),
            min_devices=fields.maybe("min_devices", lambda n: fields.integer(n, low=1, high=10_000_000)),
            bake_s=fields.optional("bake", read_duration(fields), 86400.0),
            then=Then(fields.optional("then", lambda n: fields.choice(n, enum_values(Then)), "next")),
        )
        fields.refuse_rest()
        if sum(size is not None for size in (wave.percent, wave.count, wave.selector)) > 1:
            raise InvalidField(
                "a wave has one size", where=where, why="give percent, count or selector, not several"
            )
        return wave

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "name": self.name,
                "percent": self.percent,
                "count": self.count,
                "selector": None if self.selector is None else str(self.selector),
                "min_devices": self.min_devices,
                "bake": format_duration(self.bake_s),
                "then": self.then.value,
            }
        )


DEFAULT_WAVES: Final[tuple[WaveSpec, ...]] = (
    WaveSpec(name="canary", percent=10.0),
    WaveSpec(name="half", percent=50.0),
    WaveSpec(name="rest"),
)


def read_waves(fields: Fields) -> tuple[WaveSpec, ...]:
    """Of a whole rollout; DEFAULT_WAVES where it names none. Raises InvalidField."""
    waves = fields.optional("waves", lambda n: _each(fields, n), DEFAULT_WAVES)
    _check(waves, fields)
    return waves


def _each(fields: Fields, name: str) -> tuple[WaveSpec, ...]:
    return tuple(WaveSpec.parse(item, where=place) for place, item in fields.items(name, max_items=WAVES_MAX))


def _check(waves: tuple[WaveSpec, ...], fields: Fields) -> None:
    """What no wave can say alone."""
    if not waves:
        raise InvalidField("a rollout has at least one wave", where=fields.at("waves"))
    names = [wave.name for wave in waves]
    if len(set(names)) != len(names) or "tail" in names:
        raise InvalidField(
            "each wave has its own name",
            where=fields.at("waves"),
            why='"tail" is the last wave\'s, made by itself',
        )
    last = len(waves) - 1
    if not waves[last].takes_rest and waves[last].percent != 100:
        raise InvalidField(
            "the last wave takes the rest of the group",
            where=fields.at(f"waves[{last}]"),
            hint="give it no percent, count or selector; for fewer devices choose a smaller group",
        )
    so_far = 0.0
    for i, wave in enumerate(waves):
        if wave.takes_rest and i != last:
            raise InvalidField("only the last wave takes the rest", where=fields.at(f"waves[{i}]"))
        if wave.percent is not None:
            if wave.percent <= so_far:
                raise InvalidField(
                    "percent is cumulative, so it grows from wave to wave",
                    where=fields.at(f"waves[{i}].percent"),
                    why=f"{wave.percent:g} after {so_far:g}",
                )
            so_far = wave.percent
