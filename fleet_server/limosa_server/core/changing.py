"""`dataclasses.replace`, four times as fast: a rollout changes each of its executions some ten times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
__all__ = ("changed",)

if TYPE_CHECKING:
    from dataclasses import replace as changed
else:

    def changed(one: T, /, **values: object) -> T:
        """A copy of a dataclass with slots and more than one field, with other values in some of them.

        Raises AttributeError for a field that it does not have.
        """
        kind = type(one)
        names, read = _shape(kind)
        new = object.__new__(kind)
        put = object.__setattr__  # frozen ones refuse their own
        for name, value in zip(names, read(one), strict=True):
            put(new, name, value)
        for name, value in values.items():
            put(new, name, value)
        return new


@cache
def _shape(kind: type[Any]) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Its fields, and what reads them. Raises TypeError for a kind whose making does more than keep them."""
    if hasattr(kind, "__post_init__") or kind.__dictoffset__:
        raise TypeError(f"{kind.__name__} is not made of its fields alone")
    names = tuple(one.name for one in fields(kind))
    return names, attrgetter(*names)
