"""Draws the state machines from their tables, for the documentation (style 2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from limosa_contracts.phases import Execution
from limosa_server.core import execution, rollout, wave

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


def mermaid(table: Mapping[S, Mapping[E, S]], *, start: S) -> str:
    """A mermaid state diagram; what leads back to the same state is left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {start.name}"]
    for state, row in table.items():
        arrows: dict[S, list[str]] = {}
        for event, to in row.items():
            if to is not state:
                arrows.setdefault(to, []).append(str(event.value))
        lines += [f"    {state.name} --> {to.name}: {', '.join(events)}" for to, events in arrows.items()]
        if not arrows:
            lines.append(f"    {state.name} --> [*]")
    return "\n".join(lines) + "\n"


def diagrams() -> dict[str, str]:
    """Name of the machine to its drawing."""
    return {
        "Rollout": mermaid(rollout.TRANSITIONS, start=rollout.RolloutStatus.DRAFT),
        "Wave": mermaid(wave.TRANSITIONS, start=wave.WaveStatus.PENDING),
        "Execution": mermaid(execution.TRANSITIONS, start=Execution.QUEUED),
    }
