"""Which model and rollout the code that runs now works for; every line of the log says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_ABOUT: Final[ContextVar[tuple[str, str]]] = ContextVar("about", default=("", ""))


@contextmanager
def about(model: str, rollout: str = "") -> Iterator[None]:
    """Within the block, and in every task begun in it."""
    token = _ABOUT.set((model, rollout))
    try:
        yield
    finally:
        _ABOUT.reset(token)


def now_about() -> tuple[str, str]:
    """(model, rollout); "" where it is about none."""
    return _ABOUT.get()
