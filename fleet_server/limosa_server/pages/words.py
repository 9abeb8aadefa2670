"""How a state is shown: a mark, a word and a tone, never one of them alone; and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from limosa_server.core.device_state import OFFLINE, ONLINE, DeviceState

Tone: TypeAlias = Literal["good", "bad", "warn", "busy", "calm"]


@dataclass(frozen=True, slots=True)
class Sign:
    """`mark` is one glyph that also differs in shape; `tone` names a colour in both themes."""

    mark: str
    word: str
    tone: Tone
    meaning: str = ""


ROLLOUT: Final[Mapping[str, Sign]] = {
    "DRAFT": Sign("·", "draft", "calm", "Written down, not yet submitted."),
    "VALIDATING": Sign("▸", "validating", "busy", "Its devices are being checked."),
    "INVALID": Sign("✘", "invalid", "bad", "It could not start."),
    "WAITING_FOR_APPROVAL": Sign("?", "waiting for approval", "warn", "People must agree first."),
    "APPROVAL_DENIED": Sign("✘", "approval denied", "bad", "Somebody said no."),
    "SCHEDULED": Sign("◷", "scheduled", "calm", "It starts at its time."),
    "RUNNING": Sign("▶", "running", "busy", "Waves advance when their gate passes."),
    "PAUSED": Sign("‖", "paused", "warn", "No device is offered the release until an operator decides."),
    "CANCELING": Sign("◂", "canceling", "warn", "Devices that have not finished are told to stay."),
    "CANCELED": Sign("■", "canceled", "calm", "Ended; devices that had committed keep the release."),
    "ROLLING_BACK": Sign("↩", "rolling back", "warn", "Devices are told to go back."),
    "ROLLED_BACK": Sign("↩", "rolled back", "bad", "Every device reports the version it had before."),
    "ROLLBACK_INCOMPLETE": Sign("✘", "rollback incomplete", "bad", "Some devices could not go back."),
    "COMPLETED": Sign("✔", "completed", "good", "The gates have passed."),
    "FAILED": Sign("✘", "failed", "bad", "It ended below its success criteria."),
    "SUPERSEDED": Sign("»", "superseded", "calm", "A newer rollout has taken all of its devices."),
}
WAVE: Final[Mapping[str, Sign]] = {
    "PENDING": Sign("·", "waits", "calm", "The gate before it has not passed."),
    "IN_PROGRESS": Sign("▶", "in progress", "busy", "Its devices are offered the release."),
    "BAKING": Sign("◔", "bakes", "busy", "Its devices are through; what shows late has time to show."),
    "ANALYZING": Sign("◑", "analyzing", "busy", "The judge decides."),
    "SUCCEEDED": Sign("✔", "passed", "good", "Its gate has passed."),
    "FAILED": Sign("✘", "failed", "bad", "Its gate did not pass, or a rule stopped it."),
    "INCONCLUSIVE": Sign("?", "inconclusive", "warn", "Too little data, which is never a pass."),
    "NEVER": Sign("−", "never started", "calm", "The rollout ended before it."),
}
EXECUTION: Final[Mapping[str, Sign]] = {
    "FAILED": Sign("✘", "failed", "bad"),
    "ROLLED_BACK": Sign("↩", "rolled back", "bad", "The device went back to what it ran before."),
    "REJECTED": Sign("⊘", "rejected", "bad", "The device refused it before it served anything."),
    "TIMED_OUT": Sign("◷", "timed out", "bad"),
    "IN_PROGRESS": Sign("▶", "in progress", "busy"),
    "NOTIFIED": Sign("▸", "offered", "busy", "The device has not answered yet."),
    "QUEUED": Sign("·", "waiting", "calm", "Its wave has not reached it."),
    "SUCCEEDED": Sign("✔", "done", "good", "It reports the release running, committed."),
    "ALREADY_INSTALLED": Sign("✔", "had it already", "good"),
    "CANCELED": Sign("■", "canceled", "calm"),
    "REMOVED": Sign("−", "removed", "calm"),
    "SUPERSEDED": Sign("»", "superseded", "calm", "A newer rollout has taken it over."),
}
"""In the order in which a person wants to see them: trouble first."""
PHASE: Final[Mapping[str, Sign]] = {
    "IDLE": Sign("·", "idle", "calm"),
    "RESOLVING": Sign("▸", "resolving", "busy"),
    "DOWNLOADING": Sign("⇣", "downloading", "busy"),
    "VERIFYING": Sign("▸", "verifying", "busy"),
    "STAGED": Sign("▸", "staged", "busy"),
    "WAITING_FOR_WINDOW": Sign("◷", "waits for its window", "calm"),
    "SELF_TESTING": Sign("◑", "self-testing", "busy"),
    "ACTIVATING": Sign("▶", "activating", "busy"),
    "PROBATION": Sign("◔", "on probation", "busy"),
    "COMMITTED": Sign("✔", "committed", "good"),
    "REJECTED": Sign("⊘", "rejected", "bad"),
    "FALLING_BACK": Sign("↩", "falling back", "bad"),
    "FELL_BACK": Sign("↩", "fell back", "bad"),
    "REMOVING": Sign("−", "being removed", "busy"),
    "REMOVED": Sign("−", "removed", "calm"),
}
DEVICE: Final[Mapping[str, Sign]] = {
    ONLINE: Sign("●", "online", "good", "The broker holds its connection."),
    OFFLINE: Sign("○", "offline", "warn", "It keeps running what it has."),
    DeviceState.REVOKED.value: Sign("⊘", "revoked", "calm", "Shut out; a token lets it in again."),
    DeviceState.DECOMMISSIONED.value: Sign("■", "decommissioned", "calm", "Taken out of the fleet for good."),
}
COMMAND: Final[Mapping[str, Sign]] = {
    "sent": Sign("▸", "waits for its answer", "busy"),
    "done": Sign("✔", "answered", "good"),
    "refused": Sign("⊘", "refused", "bad"),
    "no_answer": Sign("○", "no answer", "warn", "It did not hear it, or its answer was lost."),
}
STAGE: Final[Mapping[str, Sign]] = {
    "staging": Sign("◔", "staging", "busy", "It has not shown yet what its gate asks for."),
    "production": Sign("✔", "production", "good", "It has shown what its gate asks for."),
    "archived": Sign("■", "archived", "calm", "Out of use; its record stays."),
    "retracted": Sign("⊘", "retracted", "bad", "It is offered to nobody any more."),
    "published": Sign("▸", "published", "busy"),
    "imported": Sign("▸", "brought from another server", "busy"),
    "collected": Sign("−", "bytes collected", "calm", "Nothing needed them; the record stays."),
}
ALERT: Final[Mapping[str, Sign]] = {
    "critical": Sign("✘", "critical", "bad"),
    "warning": Sign("▲", "warning", "warn"),
    "info": Sign("·", "info", "calm"),
    "pending": Sign("◔", "not for long enough yet", "calm"),
    "resolved": Sign("✔", "over", "good"),
    "silenced": Sign("‖", "silenced", "calm", "Nobody is told of it."),
}
VERDICT: Final[Mapping[str, Sign]] = {
    "PASSED": Sign("✔", "passed", "good"),
    "INCONCLUSIVE": WAVE["INCONCLUSIVE"],
    "ROLLBACK": Sign("↩", "roll back", "bad"),
    "CANCEL": Sign("■", "cancel", "bad"),
    "PAUSE": ROLLOUT["PAUSED"],
    "IN_PROGRESS": WAVE["IN_PROGRESS"],
    **ROLLOUT,
}
RETURN: Final[Mapping[str, str]] = {
    "": "",
    "sent": "told to go back",
    "returned": "went back",
    "not needed": "no way back needed",
    "stuck": "could not go back",
}
SIGNS: Final[Mapping[str, Mapping[str, Sign]]] = {
    "rollout": ROLLOUT,
    "wave": WAVE,
    "execution": EXECUTION,
    "phase": PHASE,
    "device": DEVICE,
    "command": COMMAND,
    "stage": STAGE,
    "alert": ALERT,
    "verdict": VERDICT,
}


def sign(kind: str, state: str) -> Sign:
    """A state that is not in the table is shown as it is, never left out.

    >>> sign("wave", "BAKING").word, sign("wave", "NEW_ONE").word
    ('bakes', 'new one')
    """
    return SIGNS[kind].get(state) or Sign("·", state.lower().replace("_", " ") or "unknown", "calm")
