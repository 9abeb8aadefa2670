"""A further attempt on a device, only where something has changed since the last (rollouts 3.9).

What the device itself will not try again (it has quarantined the bytes, or a signature is wrong) is not
tried again here either: the list names what may pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.retry import Retry
from limosa_server.core.changing import changed
from limosa_server.core.execution import DeviceExecution, ExecutionEvent

MORE_ROOM_BYTES: Final = 1 << 20  # less than that more free space is noise
TO_RETRY: Final = "waiting_to_retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a refusal may have been about. `about`: a digest of the agent's version and capabilities.
    `pinned`: somebody has taken the device out of rollouts by name (rollouts 6)."""

    disk_free_bytes: int | None = None
    about: str = ""
    last_seen: float = 0.0
    pinned: bool = False

    def as_json(self) -> dict[str, JsonValue]:
        return {"disk_free_bytes": self.disk_free_bytes, "about": self.about, "last_seen": self.last_seen}

    @classmethod
    def from_json(cls, value: Mapping[str, JsonValue]) -> Self:
        free, about, seen = value.get("disk_free_bytes"), value.get("about"), value.get("last_seen")
        return cls(
            disk_free_bytes=free if isinstance(free, int) else None,
            about=about if isinstance(about, str) else "",
            last_seen=float(seen) if isinstance(seen, (int, float)) else 0.0,
        )


NO_CONDITION: Final = Condition()


class Waits(Enum):
    """For what a further attempt waits."""

    A_SIGN = "a sign of the device"
    ROOM = "more free space"
    ABOUT = "another agent or other capabilities"


WAITS_FOR: Final[Mapping[str, Waits]] = {
    "timed_out": Waits.A_SIGN,
    "fault": Waits.A_SIGN,
    "disk_full": Waits.ROOM,
    "no_fitting_variant": Waits.ABOUT,
    "agent_too_old": Waits.ABOUT,
}
"""By the code of the reason. What is not named here is not tried again."""


def again(run: DeviceExecution, retry: Retry, now_under: Condition, *, now: float) -> DeviceExecution:
    """The execution after its attempt has ended: the next one queued, or as it was."""
    if not run.state.failed or run.attempt > retry.attempts or run.reason_code not in WAITS_FOR:
        return run
    if now_under.pinned:
        return run  # a further attempt would be a new offer
    waits = WAITS_FOR[run.reason_code]
    return changed(
        run,
        state=Execution.QUEUED,
        step=TO_RETRY,
        reason=f"{run.reason}; tried again after {waits.value}" if run.reason else f"after {waits.value}",
        since=now,
        clock_from=now,
        attempt=run.attempt + 1,
        not_before=now + retry.wait_s(run.attempt),
        failed_as=run.state.value,
        failed_under=now_under.as_json(),
    )


def may_try(run: DeviceExecution, now_under: Condition, *, now: float) -> bool:
    """Whether a queued execution may be offered the release now."""
    if run.not_before is None:
        return True
    if now < run.not_before:
        return False
    then = Condition.from_json(run.failed_under)
    match WAITS_FOR.get(run.reason_code):
        case Waits.ROOM:
            had, has = then.disk_free_bytes, now_under.disk_free_bytes
            return has is not None and (had is None or has >= had + MORE_ROOM_BYTES)
        case Waits.ABOUT:
            return now_under.about != then.about
        case _:
            return now_under.last_seen > then.last_seen


_GIVEN_UP_AS: Final[Mapping[str, ExecutionEvent]] = {
    Execution.REJECTED.value: ExecutionEvent.REJECT,
    Execution.ROLLED_BACK.value: ExecutionEvent.FALL_BACK,
}


def give_up(run: DeviceExecution, *, now: float) -> DeviceExecution:
    """Nothing has changed for long enough: the failure stands (3.8: one device blocks nobody)."""
    event = _GIVEN_UP_AS.get(run.failed_as, ExecutionEvent.FAIL)
    reason = f"{run.reason}; nothing has changed"
    return run.after(event, now=now, step="failed", reason=reason, code=run.reason_code)
