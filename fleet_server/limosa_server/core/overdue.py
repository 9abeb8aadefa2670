"""Rollouts that wait for too long say so: what nobody looks at is forgotten (rollouts 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from limosa_contracts.duration import about_duration
from limosa_server.core import longest
from limosa_server.core.planning.timeline import offering_s
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus

PEOPLE_S: Final = 24 * 3600.0  # how long people may take to decide
MACHINE_S: Final = 600.0  # how long the controller may take to act
_ALLOWED_S: Final = {
    RolloutStatus.DRAFT: 14 * 86400.0,
    RolloutStatus.VALIDATING: MACHINE_S,
    RolloutStatus.WAITING_FOR_APPROVAL: PEOPLE_S,
    RolloutStatus.PAUSED: PEOPLE_S,
    RolloutStatus.CANCELING: PEOPLE_S,
}


def overdue(rollout: Rollout, waves: Sequence[Wave], *, now: float) -> str:
    """One sentence if it has been where it is for too long; "" if not."""
    if rollout.status.terminal or rollout.pause.ends_by_itself:
        return ""
    since, allowed = rollout.since, _ALLOWED_S.get(rollout.status, float("inf"))
    what = f"rollout {rollout.id} is {rollout.status.value}"
    if rollout.status is RolloutStatus.SCHEDULED:
        since, allowed = rollout.spec.schedule.start or since, MACHINE_S
    if rollout.status is RolloutStatus.ROLLING_BACK:
        allowed = rollout.spec.success.reachable_within_s + MACHINE_S
    if rollout.status is RolloutStatus.RUNNING:
        wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
        if wave is None or rollout.settled:
            return ""
        since, allowed = wave.since, _longest_s(rollout, wave)
        what = f"wave {wave.name} of rollout {rollout.id} is {wave.status.value}"
    waited = now - since
    if waited <= allowed:
        return ""
    return f"{what} for {about_duration(waited)}: {rollout.reason}"


def _longest_s(rollout: Rollout, wave: Wave) -> float:
    """Seconds that a wave may take in its state, with every clock run down."""
    if wave.status is WaveStatus.BAKING:
        return longest.bake_s(rollout.spec, wave.bake_s, compares=wave.compares) + PEOPLE_S
    if wave.status is not WaveStatus.IN_PROGRESS:
        return MACHINE_S
    spec = rollout.spec
    if wave.tail:
        return spec.success.reachable_within_s + PEOPLE_S
    on_device = longest.on_device_s(spec)
    devices = max(wave.size, wave.counts.total)
    return offering_s(spec, devices, before=0, moving=0, working_s=on_device) + on_device
