"""How blocks of a rollout are read: lengths of time, selectors, choices; what is refused for now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.selector import Selector

LATER: Final[Mapping[str, tuple[str, ...]]] = {"": ("control", "analysis", "on_inconclusive")}
"""Fields of rollouts 4 that this version does not carry out. They are refused, never ignored."""


def enum_values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def without_none(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: item for key, item in value.items() if item is not None}


def read_duration(fields: Fields, *, at_least: float = 0.0) -> Callable[[str], float]:
    def read(name: str) -> float:
        seconds = parse_duration(fields.text(name, max_chars=40), where=fields.at(name))
        if seconds < at_least:
            raise fields.wrong(name, f"at least {format_duration(at_least)}")
        return seconds

    return read


def read_selector(fields: Fields) -> Callable[[str], Selector]:
    return lambda name: Selector.parse(fields.text(name), where=fields.at(name))


def refuse_later(fields: Fields, block: str) -> None:
    for name in LATER[block]:
        if fields.has(name):
            raise InvalidField(
                f"{name!r} is not supported by this version",
                where=fields.at(name),
                why="it would not be carried out, so it is refused rather than ignored",
                hint="leave it out",
            )


def read_choice(fields: Fields, kind: type[Enum], name: str, default: str) -> str:
    return fields.optional(name, lambda n: fields.choice(n, enum_values(kind)), default)
