"""Decorrelated jitter between tries (agent 6.2). Pure: chance comes in as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """pause = uniform(least, 3 × the pause before), at most `most`; `chance` gives 0 <= x < 1.

    >>> pauses = Backoff(least_s=1, most_s=900, chance=lambda: 0.5)
    >>> pauses.next_s(), pauses.next_s(), pauses.next_s()
    (2.0, 3.5, 5.75)
    """

    least_s: float
    most_s: float
    chance: Callable[[], float]
    _last_s: float = field(default=0.0)

    def next_s(self) -> float:
        last = max(self._last_s, self.least_s)
        pause = self.least_s + self.chance() * (3 * last - self.least_s)
        self._last_s = min(self.most_s, pause)
        return self._last_s

    def reset(self) -> None:
        self._last_s = 0.0
