"""Dataclasses that share the methods which are the same for all: 1.6 MB of the supervisor's 40 (agent 1).

`dataclasses` writes `__repr__`, `__eq__`, `__hash__` and, where it is frozen, `__setattr__` and
`__delattr__` for each class anew: 9 KB each time, and the supervisor loads 200 of them. While
`lean_dataclasses()` is open, a class that is made gets one of its own, `__init__`, and the others from
here; they do the same, a little slower. What a class defines by itself stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from reprlib import recursive_repr
from typing import Final, NoReturn


@recursive_repr()
def _repr(self: object) -> str:
    shown = (f for f in dataclasses.fields(self) if f.repr)  # type: ignore[arg-type]  # only set on dataclasses
    inside = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in shown)
    return f"{type(self).__qualname__}({inside})"


def _compared(one: object) -> tuple[object, ...]:
    return tuple(getattr(one, f.name) for f in dataclasses.fields(one) if f.compare)  # type: ignore[arg-type]  # as above


def _eq(self: object, other: object) -> object:
    if type(other) is not type(self):
        return NotImplemented
    return _compared(self) == _compared(other)


def _hash(self: object) -> int:
    told = (f for f in dataclasses.fields(self) if (f.compare if f.hash is None else f.hash))  # type: ignore[arg-type]  # as above
    return hash(tuple(getattr(self, f.name) for f in told))


def _setattr(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_SPECIAL: Final = ("order", "unsafe_hash")
"""Options of a few classes, which are made in the standard way."""


@contextmanager
def lean_dataclasses() -> Iterator[None]:
    """Holds for every class that is made meanwhile, in any thread: for a process that starts."""
    standard = dataclasses.dataclass

    def lean(cls: type | None = None, /, **options: bool) -> type | Callable[[type], type]:
        def make(cls: type) -> type:
            if any(options.get(name) for name in _SPECIAL):
                return standard(**options)(cls)
            return _share(cls, standard(**{**options, "repr": False, "eq": False})(cls), options)

        return make if cls is None else make(cls)

    dataclasses.dataclass = lean  # type: ignore[assignment]  # the same, for all that is imported meanwhile
    try:
        yield
    finally:
        dataclasses.dataclass = standard


def _share(written: type, made: type, options: dict[str, bool]) -> type:
    """Gives `made` what a dataclass has beside `__init__`, where `written` has none of its own."""
    own = vars(written)
    frozen, equal = options.get("frozen", False), options.get("eq", True)
    shared: dict[str, object] = {}
    if options.get("repr", True):
        shared["__repr__"] = _repr
    if equal:
        shared["__eq__"] = _eq
        shared["__hash__"] = _hash if frozen else None  # as the table in the documentation of dataclasses
    for name, method in shared.items():
        if name not in own or (name == "__hash__" and own[name] is None and "__eq__" in own):
            setattr(made, name, method)
    if frozen:  # written anew for each class just now, and dropped
        type.__setattr__(made, "__setattr__", _setattr)
        type.__setattr__(made, "__delattr__", _delattr)
    return made
