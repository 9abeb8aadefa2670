"""A trial as the device holds it (agent 4.2)."""

from __future__ import annotations

from limosa_agent.health.config import HealthLimits
from limosa_agent.health.facts import Observed, Passed, Replay
from limosa_agent.health.probation import Probation
from limosa_contracts.desired import Trial


def test_a_trial_of_a_week_is_over_after_the_hour_that_this_device_allows() -> None:
    week = Trial(inferences=10_000_000, seconds=86400.0, max_seconds=604800.0, commit_needs_link=True)
    trial = Probation(
        model="demo/motion",
        manifest_sha256="a" * 64,
        trial=week,
        began_s=0.0,
        limits=HealthLimits(trial_max_s=3600.0),
        replay=Replay(n=4, failed=0),
    )
    trial.observe(Observed(manifest_sha256="a" * 64, n=5), now_s=1.0)
    assert not isinstance(trial.judge(now_s=3599.0, link_up=False), Passed)
    assert isinstance(trial.judge(now_s=3600.0, link_up=False), Passed)
