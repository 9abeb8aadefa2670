"""Rounds of names: what goes into one IN list. Databases bind so many values in a statement, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

AT_ONCE: Final = 500

T = TypeVar("T")


def in_rounds(some: Sequence[T]) -> Iterator[Sequence[T]]:
    """At most AT_ONCE of them at a time, in their order.

    >>> [len(part) for part in in_rounds(range(1_001))]
    [500, 500, 1]
    """
    for start in range(0, len(some), AT_ONCE):
        yield some[start : start + AT_ONCE]
