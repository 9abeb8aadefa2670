"""How blocks of a rollout are read: lengths of time, selectors, choices."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from limosa_contracts.duration import format_duration, parse_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.selector import Selector


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


def read_choice(fields: Fields, kind: type[Enum], name: str, default: str) -> str:
    return fields.optional(name, lambda n: fields.choice(n, enum_values(kind)), default)
