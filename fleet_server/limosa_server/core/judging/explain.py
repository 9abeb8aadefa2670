"""Where a rollout stands and what happens next, in sentences (rollouts 2, 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from limosa_contracts.duration import about_duration, format_duration
from limosa_contracts.rollout.modes import Mode
from limosa_server.core.approval import DENIED, waits_for
from limosa_server.core.rollout import Pause, Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus


def what_next(rollout: Rollout, waves: Sequence[Wave], *, now: float) -> str:
    """One sentence for the person who watches; "" where nothing more happens."""
    match rollout.status:
        case RolloutStatus.DRAFT:
            return f"`limosa rollout submit {rollout.id}` asks for it"
        case RolloutStatus.WAITING_FOR_APPROVAL if rollout.reason == waits_for(0):
            return "it goes on by itself"
        case RolloutStatus.WAITING_FOR_APPROVAL if rollout.reason.startswith(DENIED):
            return "it ends by itself"
        case RolloutStatus.WAITING_FOR_APPROVAL:
            return f"`limosa rollout approve {rollout.id}` agrees to it, `deny` ends it"
        case RolloutStatus.SCHEDULED if rollout.spec.schedule.start is not None:
            return f"it starts in {about_duration(max(0.0, rollout.spec.schedule.start - now))}"
        case RolloutStatus.RUNNING if rollout.settled and rollout.follows:
            return f"`limosa rollout finish {rollout.id}` ends it; devices that join follow until then"
        case RolloutStatus.PAUSED if rollout.resume_at is not None:
            return f"it goes on by itself in {about_duration(max(0.0, rollout.resume_at - now))}"
        case RolloutStatus.RUNNING:
            return _running(rollout, waves, now=now)
        case RolloutStatus.PAUSED:
            if rollout.pause is Pause.GATE_FAILED:
                return f"`limosa rollout resume {rollout.id}` accepts the failures{_below(rollout, waves)}"
            if rollout.pause is Pause.INCONCLUSIVE:
                return f"`limosa rollout resume {rollout.id}` takes the wave as passed, `cancel` ends it"
            return _resumed(rollout, waves)
        case RolloutStatus.ROLLING_BACK:
            runs = rollout.spec.on_failure.to or "the version it had before"
            return f"it ends when every device has said that it runs {runs}"
        case RolloutStatus.CANCELING if rollout.stopping:
            return "it ends when those at it have finished"
        case RolloutStatus.CANCELING:
            return "devices that have not finished are told to stay with what they run"
        case RolloutStatus.COMPLETED if rollout.stragglers:
            return f"{rollout.stragglers} stragglers get the release when they come back"
        case _:
            return ""


def _below(rollout: Rollout, waves: Sequence[Wave]) -> str:
    """What accepting them leads to: a rule is set aside, the share that a wave needs is not."""
    wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
    if wave is None or wave.compares or not wave.counts.failed:
        return ", `cancel` ends it"
    needed = Fraction(str(rollout.spec.success.percent))
    at_best = wave.counts.succeeded + wave.counts.open
    if at_best * 100 >= needed * (wave.counts.executed + wave.counts.open):
        return ", `cancel` ends it"
    return (
        f", but wave {wave.name} stays below the {float(needed):g} % that it needs, and the rollout fails;"
        " `cancel` ends it"
    )


def _resumed(rollout: Rollout, waves: Sequence[Wave]) -> str:
    resume = f"`limosa rollout resume {rollout.id}`"
    if any(wave.status is not WaveStatus.SUCCEEDED for wave in waves if not wave.tail):
        return f"{resume} goes on"
    if rollout.spec.mode is Mode.AB:
        return (
            f"`limosa rollout report {rollout.id}` says which is better: `promote` rolls it out,"
            f" `cancel --rollback` takes it away; {resume} ends it, and each device keeps what it runs"
        )
    return f"{resume} goes on, and it completes"


def _running(rollout: Rollout, waves: Sequence[Wave], *, now: float) -> str:
    wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
    if wave is None:
        return "it completes"
    follows = next((one.name for one in waves[wave.index + 1 :] if not one.tail), "")
    if wave.pause_after:
        then = "then it pauses for a person"
    elif follows:
        then = f"then wave {follows} starts"
    else:
        then = "then it follows its group" if rollout.follows else "then the rollout completes"
    match wave.status:
        case WaveStatus.PENDING if not wave.tail:
            return f"wave {wave.name} starts"
        case WaveStatus.IN_PROGRESS if wave.tail:
            left = max(0.0, rollout.spec.success.reachable_within_s - (now - wave.since))
            return f"it waits {about_duration(left)} at most for devices that are away, then completes"
        case WaveStatus.IN_PROGRESS:
            bake = format_duration(wave.bake_s)
            match wave.counts.open:
                case 0:
                    return f"wave {wave.name} bakes {bake}"
                case 1:
                    return f"when 1 more device is through, wave {wave.name} bakes {bake}"
                case left:
                    return f"when {left} more devices are through, wave {wave.name} bakes {bake}"
        case WaveStatus.BAKING:
            left = max(0.0, wave.bakes_s - (now - wave.since))
            if not left:
                return f"wave {wave.name} has baked; {then} when its gate passes"
            beside = ", beside devices that stay" if wave.compares else ""
            return f"wave {wave.name} bakes {about_duration(left)} more{beside}; {then} if the gate passes"
        case _:
            return then.removeprefix("then ")
