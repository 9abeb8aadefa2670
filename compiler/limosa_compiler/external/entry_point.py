"""`python:package.module:function`: something of the user's own, named in a recipe."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from limosa_compiler.errors import EntryPointFailed
from limosa_contracts.errors import InvalidField

PREFIX: Final = "python:"
_FORM: Final = re.compile(r"python:(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """A function on the import path. Nothing is imported before `load`."""

    module: str
    function: str

    @classmethod
    def parse(cls, text: str, *, where: str) -> Self:
        """Raises InvalidField."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidField(
                f"{text[:120]!r} names no function", where=where, hint="python:package.module:function"
            )
        return cls(module=found["module"], function=found["name"])

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.module}:{self.function}"

    def __str__(self) -> str:
        return self.name

    def load(self) -> Callable[..., Any]:
        """Imports it: the user's own code, run as the user. Raises EntryPointFailed."""
        try:
            function = getattr(importlib.import_module(self.module), self.function)
        except (ImportError, AttributeError) as error:
            raise EntryPointFailed(
                f"{self.name} cannot be imported",
                where=self.name,
                why=str(error)[:300],
                hint="is its folder on PYTHONPATH?",
            ) from error
        except (Exception, SystemExit) as error:  # it runs while it is imported
            raise EntryPointFailed(
                f"{self.name} fails while it is imported",
                where=self.name,
                why=f"{type(error).__name__}: {error}"[:300],
            ) from error
        if not callable(function):
            raise EntryPointFailed(f"{self.name} is no function", where=self.name)
        result: Callable[..., Any] = function
        return result
