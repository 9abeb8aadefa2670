"""What an operator does to a rollout: pause, resume, cancel (rollouts 2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.on_failure import Scope
from limosa_server.core.counts import Counts
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Pause, Rollout, RolloutEvent
from limosa_server.core.wave import Wave, WaveEvent, WaveStatus


def pause(rollout: Rollout, *, now: float, by: str, remark: str = "") -> tuple[Rollout, Decision]:
    """Raises Conflict where the state does not allow it."""
    reason = f"paused by {by}" + (f": {remark}" if remark else "")
    paused = rollout.after(RolloutEvent.PAUSE, reason=reason, now=now, pause=Pause.MANUAL)
    return paused, _decision("paused", "PAUSED", reason, by=by)


def resume(
    rollout: Rollout, waves: Sequence[Wave], *, now: float, by: str, remark: str = ""
) -> tuple[Rollout, tuple[Wave, ...], Decision]:
    """Goes on. What had stopped it is accepted by name: so many failures, or so little data."""
    totals = sum((wave.counts for wave in waves), Counts())
    reason = f"resumed by {by}" + (f": {remark}" if remark else "")
    if rollout.pause is Pause.GATE_FAILED:
        reason += f", accepting {totals.failed} failures"
    resumed = rollout.after(RolloutEvent.RESUME, reason=reason, now=now)
    if rollout.pause is Pause.GATE_FAILED:
        resumed = replace(resumed, accepted_failures=totals.failed)
    accepted = tuple(
        wave.after(WaveEvent.ACCEPT, reason=reason, now=now)
        if wave.status is WaveStatus.INCONCLUSIVE
        else wave
        for wave in waves
    )
    return resumed, accepted, _decision("resumed", "RUNNING", reason, by=by, failed=totals.failed)


def cancel(
    rollout: Rollout, *, now: float, by: str, rollback: bool, remark: str = ""
) -> tuple[Rollout, Decision]:
    """`rollback`: devices that committed go back too. Raises Conflict where the state forbids it."""
    reason = f"canceled by {by}" + (f": {remark}" if remark else "")
    event = RolloutEvent.ROLL_BACK if rollback else RolloutEvent.CANCEL
    ended = rollout.after(event, reason=reason, now=now)
    if rollback:
        ended = replace(ended, rollback_scope=Scope.ALL)
    return ended, _decision("canceled", ended.status.value, reason, by=by)


def _decision(kind: str, verdict: str, sentence: str, *, by: str, failed: int | None = None) -> Decision:
    numbers: dict[str, JsonValue] = {"by": by}
    if failed is not None:
        numbers["failed"] = failed
    return Decision(kind=kind, verdict=verdict, sentence=sentence, numbers=numbers, by=by)
