"""How often the agent started lately: told without believing a clock that may be wrong (agent 3.2).

Two starts of one start of the system are apart by its own counter. Across a reboot the clock counts if
it can be right both times; else what is known is only how long the first one lived. So a device that
boots at 1970 every time is still found in a crash loop, and a clock that jumps makes none.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from limosa_agent.fetch.time_floor import clock_suspect
from limosa_agent.store.state_db import StateDb
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

STARTS_MAX: Final = 3  # unclean starts within STARTS_WITHIN_S; one more counts as a failure
STARTS_WITHIN_S: Final = 600.0
LIVED_STEP_S: Final = 30.0  # how long it lives is noted this often, until it has lived STARTS_WITHIN_S
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_KEY: Final = "start_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`boot`: which start of the system, "" if it does not say; `up_s`: seconds since then, suspended or
    not; `clock`: Unix seconds, `believed` if the clock can be right."""

    boot: str
    up_s: float
    clock: float
    believed: bool
    lived_s: float = 0.0

    @classmethod
    def now(cls, *, time_floor: float) -> Self:
        clock = time.time()
        return cls(
            boot=_boot_id(),
            up_s=_up_s(),
            clock=clock,
            believed=not clock_suspect(clock=clock, floor=time_floor),
        )

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            boot=fields.text("boot", empty=True),
            up_s=fields.number("up_s"),
            clock=fields.number("clock"),
            believed=fields.boolean("believed"),
            lived_s=fields.number("lived_s"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "boot": self.boot,
            "up_s": self.up_s,
            "clock": self.clock,
            "believed": self.believed,
            "lived_s": self.lived_s,
        }


def seconds_between(a: Start, b: Start) -> float:
    """At least so many from the start `a` to the next one, `b`. Pure."""
    if a.boot and a.boot == b.boot:
        return max(a.lived_s, b.up_s - a.up_s)
    if a.believed and b.believed:
        return max(a.lived_s, b.clock - a.clock)
    return a.lived_s


def lately(starts: Sequence[Start]) -> tuple[Start, ...]:
    """The last ones that lie within STARTS_WITHIN_S. Pure."""
    kept, apart_s = list(starts[-1:]), 0.0
    for a, b in zip(reversed(starts[:-1]), reversed(starts[1:]), strict=True):
        apart_s += seconds_between(a, b)
        if apart_s >= STARTS_WITHIN_S:
            break
        kept.insert(0, a)
    return tuple(kept)


def note_start(db: StateDb, *, now: Start) -> bool:
    """Whether this is one start too many: each of the last ones ended without being asked to (3.2)."""
    before = () if db.meta("clean_exit") == "1" else _log(db)
    recent = lately((*before, now))
    too_many = len(recent) > STARTS_MAX
    with db.transaction("start"):
        _save(db, () if too_many else recent)
        db.set_meta("clean_exit", "0")
    return too_many


def note_lived(db: StateDb, *, lived_s: float) -> bool:
    """Writes only where it matters: a few times after a start. False once this start needs no more."""
    log = _log(db)
    if not log or log[-1].lived_s >= STARTS_WITHIN_S:
        return False
    if lived_s - log[-1].lived_s < LIVED_STEP_S:
        return True
    with db.transaction("lived"):
        _save(db, (*log[:-1], replace(log[-1], lived_s=lived_s)))
    return True


def note_stop(db: StateDb) -> None:
    db.set_meta("clean_exit", "1")


def _log(db: StateDb) -> tuple[Start, ...]:
    try:
        fields = Fields(parse_object((db.meta(_KEY) or "{}").encode(), what=_KEY), where=_KEY)
        return tuple(Start.parse(value, where=place) for place, value in fields.items("starts", max_items=16))
    except LimosaError:
        return ()  # none was noted yet, or another version wrote it


def _save(db: StateDb, starts: Sequence[Start]) -> None:
    db.set_meta(_KEY, encode_canonical({"starts": [start.as_json() for start in starts]}).decode())


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""  # not Linux


def _up_s() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
