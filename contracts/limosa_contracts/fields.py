"""Reads typed fields out of a JSON object, and says exactly which one is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.nearest import did_you_mean

T = TypeVar("T")


class Fields:
    """One object being parsed. Fields that nobody asked for are kept: `rest()` gives them back."""

    def __init__(self, value: JsonValue, *, where: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidField("an object is needed", where=where, why=f"got {_kind(value)}")
        self._value: JsonObject = value
        self._where = where
        self._seen: set[str] = set()

    def at(self, name: str) -> str:
        """The place of a field, as errors name it."""
        return f"{self._where}.{name}" if self._where else name

    def wrong(self, name: str, why: str) -> InvalidField:
        return InvalidField(f"field {name!r} is not valid", where=self.at(name), why=why)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def raw(self, name: str) -> JsonValue:
        self._seen.add(name)
        if name not in self._value:
            raise InvalidField(f"field {name!r} is missing", where=self.at(name), hint=self._mistyped(name))
        return self._value[name]

    def _mistyped(self, name: str) -> str:
        """For what people write by hand: the key that may have been meant to be `name`."""
        from difflib import get_close_matches

        few = [key for key in self._value if key not in self._seen and len(key) <= 64][:64]
        near = get_close_matches(name, few, n=1)
        return f"is {near[0]!r} meant to be {name!r}?" if near else ""

    def text(
        self, name: str, *, pattern: re.Pattern[str] | None = None, max_chars: int = 4096, empty: bool = False
    ) -> str:
        value = self.raw(name)
        if not isinstance(value, str):
            raise self.wrong(name, f"text is needed, got {_kind(value)}")
        if len(value) > max_chars:
            raise self.wrong(name, f"{len(value)} characters, at most {max_chars}")
        if not value and not empty:
            raise self.wrong(name, "it is empty")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.wrong(name, f"{value!r} does not match {pattern.pattern}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise self.wrong(name, f"{value!r} is none of {', '.join(choices)}")
        return value

    def integer(self, name: str, *, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, f"a whole number is needed, got {_kind(value)}")
        if not low <= value <= high:
            raise self.wrong(name, f"{value} is outside {low} to {high}")
        return value

    def number(self, name: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, f"a number is needed, got {_kind(value)}")
        try:
            result = float(value)
        except OverflowError as error:  # JSON's whole numbers have no end
            raise self.wrong(name, "it is beyond what a number holds") from error
        if not math.isfinite(result) or not low <= result <= high:
            raise self.wrong(name, f"{value} is outside {low} to {high}")
        return result

    def boolean(self, name: str) -> bool:
        value = self.raw(name)
        if not isinstance(value, bool):
            raise self.wrong(name, f"true or false is needed, got {_kind(value)}")
        return value

    def object(self, name: str) -> JsonObject:
        value = self.raw(name)
        if not isinstance(value, Mapping):
            raise self.wrong(name, f"an object is needed, got {_kind(value)}")
        return value

    def fields(self, name: str) -> Fields:
        return Fields(self.raw(name), where=self.at(name))

    def items(self, name: str, *, max_items: int = 4096) -> Iterator[tuple[str, JsonValue]]:
        """(place, value) of each element of a list."""
        value = self.raw(name)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(name, f"a list is needed, got {_kind(value)}")
        if len(value) > max_items:
            raise self.wrong(name, f"{len(value)} elements, at most {max_items}")
        return iter([(f"{self.at(name)}[{i}]", item) for i, item in enumerate(value)])

    def texts(
        self, name: str, *, pattern: re.Pattern[str] | None = None, max_items: int = 4096
    ) -> tuple[str, ...]:
        return tuple(_text(item, place, pattern) for place, item in self.items(name, max_items=max_items))

    def integers(self, name: str, *, low: int = -(2**63), max_items: int = 65536) -> tuple[int, ...]:
        result: list[int] = []
        for place, item in self.items(name, max_items=max_items):
            if isinstance(item, bool) or not isinstance(item, int) or item < low:
                raise InvalidField("a whole number is needed", where=place, why=f"got {item!r}")
            result.append(item)
        return tuple(result)

    def text_map(self, name: str, *, max_items: int = 256, max_chars: int = 1024) -> dict[str, str]:
        result: dict[str, str] = {}
        value = self.object(name)
        if len(value) > max_items:
            raise self.wrong(name, f"{len(value)} entries, at most {max_items}")
        for key, item in value.items():
            if not isinstance(item, str) or len(item) > max_chars or len(key) > max_chars:
                raise self.wrong(name, f"entry {key[:80]!r} must be a short text")
            result[key] = item
        return result

    def schema(self, expected: str) -> None:
        """The document must say that it is `expected`, e.g. "limosa.desired/1"."""
        got = self.text("schema")
        if got != expected:
            raise self.wrong("schema", f"{got!r} is not {expected!r}")

    def optional(self, name: str, read: Callable[[str], T], default: T) -> T:
        """`read(name)` where the field is there and not null, else `default`."""
        self._seen.add(name)
        return read(name) if self.has(name) else default

    def maybe(self, name: str, read: Callable[[str], T]) -> T | None:
        self._seen.add(name)
        return read(name) if self.has(name) else None

    def rest(self) -> JsonObject:
        """Fields that nobody read: kept, so that a newer document survives an older reader."""
        return {key: value for key, value in self._value.items() if key not in self._seen}

    def refuse_rest(self) -> None:
        """For what people write by hand: an unknown key is a mistake, named with its nearest."""
        for key in self.rest():
            known = sorted(self._seen)
            raise InvalidField(
                f"unknown field {key!r}",
                where=self.at(key),
                hint=did_you_mean(key, known, otherwise=f"known: {', '.join(known)}"),
            )


def _text(value: JsonValue, place: str, pattern: re.Pattern[str] | None) -> str:
    if not isinstance(value, str):
        raise InvalidField("text is needed", where=place, why=f"got {_kind(value)}")
    if pattern is not None and not pattern.fullmatch(value):
        raise InvalidField(
            "text is not valid", where=place, why=f"{value[:80]!r} does not match {pattern.pattern}"
        )
    return value


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "an object"
