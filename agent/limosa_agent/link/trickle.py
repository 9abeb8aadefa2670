"""How often something may be said that could be said without end. Pure: time comes in as a value."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Trickle:
    """`burst` at once, then one every `every_s`; `held` counts what was not let through since.

    >>> few = Trickle(burst=2, every_s=60.0)
    >>> [few.allows(now_s=0.0) for _ in range(3)], few.held, few.allows(now_s=61.0)
    ([True, True, False], 1, True)
    """

    burst: int
    every_s: float
    held: int = 0
    _left: float = field(default=-1.0)
    _at_s: float = field(default=0.0)

    def allows(self, *, now_s: float) -> bool:
        if self._left < 0:
            self._left = float(self.burst)
        else:
            self._left = min(self.burst, self._left + max(0.0, now_s - self._at_s) / self.every_s)
        self._at_s = now_s
        if self._left < 1:
            self.held += 1
            return False
        self._left -= 1
        return True

    def take_held(self) -> int:
        """What was held back since this was asked last."""
        held, self.held = self.held, 0
        return held
