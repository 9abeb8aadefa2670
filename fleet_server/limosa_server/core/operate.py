"""What an operator does to a rollout: pause, resume, cancel (rollouts 2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limosa_contracts.errors import Conflict
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.abort import Failure
from limosa_contracts.rollout.modes import Mode
from limosa_contracts.rollout.on_failure import Scope
from limosa_server.core.counts import Counts
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Pause, Rollout, RolloutEvent, RolloutStatus
from limosa_server.core.wave import Wave, WaveEvent, WaveStatus


def pause(rollout: Rollout, *, now: float, by: str, remark: str = "") -> tuple[Rollout, Decision]:
    """Raises Conflict where the state does not allow it."""
    reason = f"paused by {by}" + (f": {remark}" if remark else "")
    paused = rollout.after(rollout.pausing, reason=reason, now=now, pause=Pause.MANUAL)
    return paused, _decision("paused", "PAUSED", reason, by=by)


def resume(
    rollout: Rollout, waves: Sequence[Wave], *, now: float, by: str, remark: str = ""
) -> tuple[Rollout, tuple[Wave, ...], Decision]:
    """Goes on. What had stopped it is accepted by name: so many failures, or so little data."""
    totals = sum((wave.counts for wave in waves), Counts())
    reason = f"resumed by {by}" + (f": {remark}" if remark else "")
    silent = sum(wave.silent for wave in waves)
    if rollout.pause is Pause.GATE_FAILED:
        reason += f", accepting {totals.failed} failures" + (
            f" and {silent} silent devices" if silent else ""
        )
    resumed = rollout.after(RolloutEvent.RESUME, reason=reason, now=now)
    if rollout.pause is Pause.GATE_FAILED:
        kinds = {kind.value: totals.failures(kind) for kind in Failure if kind is not Failure.ALL}
        resumed = replace(
            resumed, accepted_failures=totals.failed, accepted={**kinds, Failure.SILENT.value: silent}
        )
    accepted = tuple(
        wave.after(WaveEvent.ACCEPT, reason=reason, now=now)
        if wave.status is WaveStatus.INCONCLUSIVE
        else wave
        for wave in waves
    )
    return resumed, accepted, _decision("resumed", "RUNNING", reason, by=by, failed=totals.failed)


def submit(rollout: Rollout, *, now: float, by: str) -> tuple[Rollout, Decision]:
    """A draft is asked for. Raises Conflict."""
    submitted = rollout.after(RolloutEvent.SUBMIT, reason="its devices are being checked", now=now)
    return submitted, _decision("submitted", "VALIDATING", f"submitted by {by}", by=by)


def finish(rollout: Rollout, *, now: float, by: str, remark: str = "") -> tuple[Rollout, Decision]:
    """It follows its group no longer, and completes by its own rules. Raises Conflict."""
    if not rollout.follows or rollout.status.terminal:
        raise Conflict(
            "it does not follow its group",
            where=f"rollout {rollout.id}",
            why=f"it is {rollout.status.value}"
            if rollout.status.terminal
            else f"target_selection is {rollout.spec.target_selection.value}",
        )
    reason = f"devices that join follow no more, by {by}" + (f": {remark}" if remark else "")
    return replace(rollout, follows=False, reason=reason), _decision(
        "finished", rollout.status.value, reason, by=by
    )


def cancel(
    rollout: Rollout, *, now: float, by: str, rollback: bool = False, finish: bool = False, remark: str = ""
) -> tuple[Rollout, Decision]:
    """`rollback`: devices that committed go back too. `finish`: those at it may finish.

    Raises Conflict where the state forbids it.
    """
    if rollout.spec.mode is Mode.SHADOW:
        rollback = False  # what answers was never touched, and the challengers go whenever it ends
    if rollback and finish:
        raise Conflict("a device cannot finish and go back", where="finish", hint="give one of the two")
    reason = f"canceled by {by}" + (f": {remark}" if remark else "")
    if rollout.stopping and rollout.status is RolloutStatus.CANCELING and not (rollback or finish):
        now_all = replace(rollout, stopping=False, reason=reason)  # nobody shall finish after all
        return now_all, _decision("canceled", "CANCELING", reason, by=by)
    event = RolloutEvent.ROLL_BACK if rollback else RolloutEvent.CANCEL
    ended = rollout.after(event, reason=reason, now=now)
    if rollback:
        ended = replace(ended, rollback_scope=Scope.ALL)
    ended = replace(ended, stopping=finish)
    return ended, _decision("canceled", ended.status.value, reason, by=by)


def _decision(kind: str, verdict: str, sentence: str, *, by: str, failed: int | None = None) -> Decision:
    numbers: dict[str, JsonValue] = {"by": by}
    if failed is not None:
        numbers["failed"] = failed
    return Decision(kind=kind, verdict=verdict, sentence=sentence, numbers=numbers, by=by)
