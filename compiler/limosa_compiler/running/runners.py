"""Runners of many candidates, few of them loaded at a time (compiler 8)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from limosa_compiler.running.runs import Runs

LOADED_MAX = 3


class Runners(Mapping[str, Runs]):
    """By candidate name; a runner is loaded when it is asked for.

    The one that was asked for first stays loaded: it is what all others are held against. Of the
    others those asked for longest ago are dropped, so that memory does not grow with the ladder.
    """

    def __init__(self) -> None:
        self._load: dict[str, Callable[[], Runs]] = {}
        self._first: dict[str, Runs] = {}
        self._loaded: OrderedDict[str, Runs] = OrderedDict()

    def add(self, name: str, load: Callable[[], Runs]) -> None:
        """`load` raises ModelRefused."""
        self._load[name] = load

    def drop(self, name: str) -> None:
        for known in (self._load, self._first, self._loaded):
            known.pop(name, None)

    def __getitem__(self, name: str) -> Runs:
        """Raises ModelRefused if it does not load."""
        if name in self._first:
            return self._first[name]
        if name in self._loaded:
            self._loaded.move_to_end(name)
            return self._loaded[name]
        runner = self._load[name]()
        if not self._first:
            self._first[name] = runner
            return runner
        self._loaded[name] = runner
        while len(self._loaded) > LOADED_MAX:
            self._loaded.popitem(last=False)
        return runner

    def __iter__(self) -> Iterator[str]:
        return iter(self._load)

    def __len__(self) -> int:
        return len(self._load)
