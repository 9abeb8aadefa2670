"""What one check found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from limosa_agent.config import AgentConfig


class Level(Enum):
    """How bad it is."""

    WELL = "well"
    """Nothing to do."""
    NOTE = "note"
    """It works, and will not for ever, or not as well as it could."""
    WRONG = "wrong"
    """Something does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`hint` is a thing to do, "" where there is none."""

    name: str
    level: Level
    says: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        return self.level is not Level.WRONG

    def as_json(self) -> dict[str, str | bool]:
        return {
            "name": self.name, "ok": self.ok, "level": self.level.value, "says": self.says, "hint": self.hint
        }  # fmt: skip


Check: TypeAlias = Callable[[AgentConfig], Finding]
"""Raises LimosaError or OSError where it cannot look: that is wrong too."""


def well(name: str, says: str) -> Finding:
    return Finding(name=name, level=Level.WELL, says=says)


def note(name: str, says: str, hint: str) -> Finding:
    return Finding(name=name, level=Level.NOTE, says=says, hint=hint)


def wrong(name: str, says: str, hint: str) -> Finding:
    return Finding(name=name, level=Level.WRONG, says=says, hint=hint)
