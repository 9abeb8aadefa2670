"""The type of a JSON value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
JsonObject: TypeAlias = "Mapping[str, JsonValue]"


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; none of what is not a list.

    >>> objects([{"a": 1}, 2]), objects("text")
    ([{'a': 1}], [])
    """
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []
