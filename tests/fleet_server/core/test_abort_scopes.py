"""An abort rule is held against the wave that is under way, and against all waves (rollouts 3.2, 3.3)."""

from __future__ import annotations

from limosa_server.core.rollout import Pause
from limosa_server.core.wave import WaveStatus
from tests.fleet_server.core.fleet import FALLS_BACK, Fleet, spec_of

SHORT = {"offer": "30s", "in_progress": "30s", "silence": "5s"}


def test_a_bad_wave_is_seen_behind_a_hundred_good_devices() -> None:
    """3.2, 3.3: five of the six newest failed; of all devices that is nothing."""
    waves = [{"name": "old", "count": 94, "bake": "0s"}, {"name": "new", "bake": "0s"}]
    bad = {f"d{i}": FALLS_BACK for i in range(94, 99)}
    rule = {"threshold": 0.1, "min_executed": 5, "action": "pause"}
    fleet = Fleet(
        spec_of(waves=waves, abort=[rule], timeouts=SHORT, success={"percent": 1}), 100, behaviours=bad
    )
    fleet.run(60)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    assert "(wave new)" in fleet.rollout.reason


def test_failures_that_no_wave_has_enough_of_stop_the_rollout_together() -> None:
    """3.2, 3.3: two of six fail in each wave; six are too few to tell, and each gate is passed with four."""
    waves = [{"name": f"w{i}", "count": 6, "bake": "0s"} for i in range(3)]
    waves.append({"name": "rest", "bake": "0s"})
    bad = {f"d{6 * i + j}": FALLS_BACK for i in range(4) for j in range(2)}
    rule = {"threshold": 0.1, "min_executed": 10, "action": "pause"}
    fleet = Fleet(
        spec_of(waves=waves, abort=[rule], timeouts=SHORT, success={"percent": 60}), 24, behaviours=bad
    )
    fleet.run(120)
    assert fleet.rollout.pause is Pause.GATE_FAILED
    assert "(all waves)" in fleet.rollout.reason
    assert fleet.wave("w0").status is WaveStatus.SUCCEEDED
    assert fleet.wave("rest").status is WaveStatus.PENDING
