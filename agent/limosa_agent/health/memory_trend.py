"""Whether a worker's memory only ever grows (agent 4.2). Pure: monotonic time comes in."""

from __future__ import annotations

from dataclasses import dataclass, field

from limosa_agent.health.config import HealthLimits
from limosa_agent.health.facts import Growth

STEPS_MAX = 10_000  # of one run of growth: then only its end matters any more


@dataclass(slots=True, kw_only=True)
class MemoryTrend:
    """The least memory of each step of time; a step that is not above the last one begins anew.

    An arena grows with the first large requests and stays. What leaks grows with every step.
    """

    limits: HealthLimits
    began_s: float | None = None
    least_bytes: int = 0  # of the step that runs
    steps: list[int] = field(default_factory=list)  # the run of growth, least bytes each

    def note(self, rss_bytes: int, *, now_s: float) -> None:
        if rss_bytes <= 0:
            return  # the system does not say
        if self.began_s is None:
            self.began_s, self.least_bytes = now_s, rss_bytes
        elif now_s - self.began_s < self.limits.growth_step_s:
            self.least_bytes = min(self.least_bytes, rss_bytes)
        else:
            self._end_step()
            self.began_s, self.least_bytes = now_s, rss_bytes

    @property
    def growth(self) -> Growth | None:
        """The run, if it is long enough and steep enough to be a leak."""
        rises, run = len(self.steps) - 1, self.steps
        if rises < self.limits.growth_steps or run[-1] - run[0] < self.limits.growth_bytes:
            return None
        return Growth(steps=rises, step_s=self.limits.growth_step_s, from_bytes=run[0], to_bytes=run[-1])

    def _end_step(self) -> None:
        if self.steps and self.least_bytes <= self.steps[-1]:
            self.steps.clear()
        self.steps.append(self.least_bytes)
        if len(self.steps) > STEPS_MAX:
            del self.steps[1 : STEPS_MAX // 2]
