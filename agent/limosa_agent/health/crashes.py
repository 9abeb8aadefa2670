"""How often a model's worker crashed lately (agent 4.3). Pure: monotonic time comes in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from limosa_agent.health.config import HealthLimits


@dataclass(slots=True, kw_only=True)
class CrashCount:
    limits: HealthLimits
    times: dict[str, deque[float]] = field(default_factory=dict)  # model -> of its crashes, seconds

    def too_many(self, model: str, *, now_s: float) -> bool:
        """Counts one more; whether that makes `crashes_max` in the time. The count begins anew then."""
        times = self.times.setdefault(model, deque())
        times.append(now_s)
        while now_s - times[0] > self.limits.crashes_within_s:
            times.popleft()
        if len(times) < self.limits.crashes_max:
            return False
        times.clear()
        return True
