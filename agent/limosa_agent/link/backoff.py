"""Decorrelated jitter between tries (agent 6.2, rollouts 3.10). Pure: chance comes in as a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """pause = uniform(least, 3 × the pause before), at most `most`; `chance` gives 0 <= x < 1.

    A link that held for `stable_s` begins anew with the first pause; one that comes and goes does not.

    >>> pauses = Backoff(least_s=1, most_s=900, chance=lambda: 0.5)
    >>> pauses.next_s(), pauses.next_s(), pauses.next_s()
    (2.0, 3.5, 5.75)
    """

    least_s: float
    most_s: float
    chance: Callable[[], float]
    stable_s: float = math.inf
    _last_s: float = field(default=0.0)

    def next_s(self, *, held_s: float = 0.0) -> float:
        """Seconds to wait before the next try, after a link that held for `held_s`."""
        last = self.least_s if held_s >= self.stable_s else max(self._last_s, self.least_s)
        pause = self.least_s + self.chance() * (3 * last - self.least_s)
        self._last_s = min(self.most_s, pause)
        return self._last_s
