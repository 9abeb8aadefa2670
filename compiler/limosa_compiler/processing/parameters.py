"""Parameters of steps: declared once, with type, limits and meaning; parsing and docs come from that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from limosa_compiler.processing.limits import LIMITS
from limosa_contracts.fields import Fields

Read: TypeAlias = Callable[[Fields, str], object]
T = TypeVar("T")
_KEY: Final = "parameter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """How one key of a step is read, and what it means to its user."""

    key: str
    read: Read
    kind: str  # as docs name it, with its limits
    says: str
    unit: str
    default: object  # dataclasses.MISSING where it must be given


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    read: Read
    name: str


def param(
    kind: Kind, *, says: str, unit: str = "", default: object = dataclasses.MISSING, key: str = ""
) -> Any:
    """A field of a step. `key` where the recipe's word is no Python name."""
    about = {_KEY: (kind, says, unit, key)}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=about)
    return dataclasses.field(default=default, metadata=about)


def parameters_of(step: type[Any]) -> Iterator[tuple[str, Parameter]]:
    """(field of the class, its parameter), in the order in which they are declared."""
    for field in dataclasses.fields(step):
        kind, says, unit, key = field.metadata[_KEY]
        yield (
            field.name,
            Parameter(
                key=key or field.name,
                read=kind.read,
                kind=kind.name,
                says=says,
                unit=unit,
                default=field.default,
            ),
        )


def parse_parameters(step: type[T], fields: Fields) -> T:
    """Raises InvalidField for what is missing, of the wrong type, or outside its limits."""
    values: dict[str, object] = {}
    for name, parameter in parameters_of(step):
        if parameter.default is dataclasses.MISSING:
            values[name] = parameter.read(fields, parameter.key)
        else:
            read = partial(parameter.read, fields)
            values[name] = fields.optional(parameter.key, read, parameter.default)
    return step(**values)


def number(low: float = -LIMITS.value_max, high: float = LIMITS.value_max) -> Kind:
    return Kind(
        read=lambda fields, key: fields.number(key, low=low, high=high), name=f"number{_range(low, high)}"
    )


def whole(low: int, high: int) -> Kind:
    return Kind(
        read=lambda fields, key: fields.integer(key, low=low, high=high),
        name=f"whole number{_range(low, high)}",
    )


def axis() -> Kind:
    return whole(-LIMITS.rank_max, LIMITS.rank_max - 1)


def flag() -> Kind:
    return Kind(read=lambda fields, key: fields.boolean(key), name="true or false")


def one_of(*choices: str) -> Kind:
    return Kind(
        read=lambda fields, key: fields.choice(key, choices), name=", ".join(f"`{word}`" for word in choices)
    )


def text(max_chars: int = 256) -> Kind:
    return Kind(read=lambda fields, key: fields.text(key, max_chars=max_chars), name="text")


def texts(max_items: int) -> Kind:
    return Kind(
        read=lambda fields, key: _not_empty(fields, key, fields.texts(key, max_items=max_items)),
        name="list of texts",
    )


def numbers(low: float = -LIMITS.value_max, high: float = LIMITS.value_max) -> Kind:
    """A list; a single number stands for a list of one."""

    def read(fields: Fields, key: str) -> tuple[float, ...]:
        given = fields.raw(key)
        items = given if isinstance(given, (list, tuple)) else [given]
        if len(items) > LIMITS.channels_max:
            raise fields.wrong(key, f"{len(items)} values, at most {LIMITS.channels_max}")
        each = [
            Fields({"value": item}, where=f"{fields.at(key)}[{i}]").number("value", low=low, high=high)
            for i, item in enumerate(items)
        ]
        return _not_empty(fields, key, tuple(each))

    return Kind(read=read, name=f"number or list{_range(low, high)}")


def wholes(low: int, high: int, *, max_items: int = LIMITS.channels_max) -> Kind:
    def read(fields: Fields, key: str) -> tuple[int, ...]:
        found = fields.integers(key, low=low, max_items=max_items)
        for item in found:
            if item > high:
                raise fields.wrong(key, f"{item} is outside {low} to {high}")
        return _not_empty(fields, key, found)

    return Kind(read=read, name=f"list of whole numbers{_range(low, high)}")


def _not_empty(fields: Fields, key: str, items: tuple[T, ...]) -> tuple[T, ...]:
    if not items:
        raise fields.wrong(key, "the list is empty")
    return items


def _range(low: float, high: float) -> str:
    least, most = -LIMITS.value_max, LIMITS.value_max
    if (low, high) == (least, most):
        return ""
    if high == most:
        return f" ≥ {low:g}"
    return f", {low:g} to {high:g}" if abs(high) < 1e6 else f", {low:g} to {int(high)}"
