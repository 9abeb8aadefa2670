"""How long ago something was, on a device whose wall clock may be anything (trust 3.3)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while it sleeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """`since_boot_s` counts within one `boot`; `wall` is Unix seconds, and `trusted` where the clock was."""

    boot: str
    since_boot_s: float
    wall: float
    trusted: bool

    @classmethod
    def now(cls, *, trusted: bool) -> Self:
        return cls(
            boot=_boot_id(), since_boot_s=time.clock_gettime(SINCE_BOOT), wall=time.time(), trusted=trusted
        )

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        return cls(
            boot=fields.text("boot", empty=True),
            since_boot_s=fields.number("since_boot_s"),
            wall=fields.number("wall"),
            trusted=fields.boolean("trusted"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "boot": self.boot,
            "since_boot_s": self.since_boot_s,
            "wall": self.wall,
            "trusted": self.trusted,
        }


def elapsed_s(then: Moment, now: Moment) -> float | None:
    """Seconds from one to the other, >= 0; None if nobody can know: another boot, and a clock that was
    not to be trusted at one of its ends. Pure.

    Within one boot the wall clock is not looked at: it may be set meanwhile.
    """
    if then.boot and then.boot == now.boot:
        return max(0.0, now.since_boot_s - then.since_boot_s)
    if then.trusted and now.trusted and now.wall >= then.wall:
        return now.wall - then.wall
    return None


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
