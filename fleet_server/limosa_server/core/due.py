"""When the controller must look at an execution again, if nothing is heard of it before.

Of 100,000 executions a tick reads those that are due and those that changed; this is what makes the rest
safe to leave alone. Looking too early costs a row; looking too late would make a clock late.
"""

from __future__ import annotations

from typing import Final

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.timeouts import Timeouts
from limosa_server.core.execution import SILENT_STEPS, VERIFYING_STEPS, WAITING, DeviceExecution, Return
from limosa_server.core.facts import DeviceFacts
from limosa_server.core.habit import SILENT_FACTOR
from limosa_server.core.rollout import Rollout

SOONEST_S: Final = 1.0  # no execution is looked at more often by the clock alone
AWAY_S: Final = 60.0  # a device that is away is found by its sign of life; this is for a sign that was lost
CHANGE_S: Final = 60.0  # how often a further attempt is held against what has changed
AFTER_S: Final = 0.001  # clocks are over when they are exceeded, not when they are reached


def next_look(run: DeviceExecution, rollout: Rollout, device: DeviceFacts, *, now: float) -> float | None:
    """Unix seconds, after `now`; None where nothing is left to wait for."""
    if run.state.terminal and run.returning is not Return.SENT:
        return None
    moments = [*_silence(run, rollout, device, now), *_clocks(run, rollout, now)]
    return max(now + SOONEST_S, min(moments) + AFTER_S)


def _silence(run: DeviceExecution, rollout: Rollout, device: DeviceFacts, now: float) -> list[float]:
    """When it would count as away, or as silent, if it says nothing more."""
    allowed = rollout.spec.timeouts.silence_s
    if device.online:
        return [now + allowed]
    moments = [device.last_seen + allowed, now + max(allowed, AWAY_S)]
    if run.step in SILENT_STEPS:
        moments.append(device.last_seen + max(allowed, SILENT_FACTOR * (device.usual_gap_s or 0.0)))
    return [moment for moment in moments if moment > now]


def _clocks(run: DeviceExecution, rollout: Rollout, now: float) -> list[float]:
    timeouts = rollout.spec.timeouts
    if run.returning is Return.SENT:
        if run.away:
            return [rollout.since + rollout.spec.success.reachable_within_s]
        return [run.clock_from + timeouts.offer_s + timeouts.in_progress_s]
    if run.away:
        return []
    match run.state:
        case Execution.QUEUED if run.not_before is not None:
            looks = run.not_before if now < run.not_before else now + CHANGE_S
            return [looks, run.clock_from + timeouts.in_progress_s]
        case Execution.NOTIFIED:
            return [run.clock_from + timeouts.offer_s]
        case Execution.IN_PROGRESS if run.step != WAITING:
            return _of_progress(run, timeouts)
        case _:
            return []


def _of_progress(run: DeviceExecution, timeouts: Timeouts) -> list[float]:
    moments = [run.clock_from + timeouts.in_progress_s]
    if timeouts.download_stall_s is not None and run.step == "downloading":
        moments.append(max(run.since, run.clock_from) + timeouts.download_stall_s)
    if timeouts.verify_s is not None and run.step in VERIFYING_STEPS:
        moments.append(max(run.verify_from, run.clock_from) + timeouts.verify_s)
    return moments
