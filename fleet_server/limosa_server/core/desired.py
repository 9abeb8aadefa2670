"""The desired document of one device: its models over all rollouts, and when to sign it anew (trust 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from limosa_contracts.desired import DesiredModel, DesiredState, Farewell

LIFE_S: Final = 30 * 86400  # trust 1: a director's message lives 30 days
COUNTER_MAX: Final = 2**63 - 1  # the highest that a device reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one device shall run of one model, and how often it reports meanwhile."""

    model: DesiredModel
    report_every_s: float
    report_every_in_probation_s: float


def next_counter(previous: int, *, now: float, reported: int = 0) -> int:
    """`max(previous + 1, unix ms)`, above what the device has already seen (trust 4.3).

    >>> next_counter(5, now=0.001), next_counter(5, now=2.0), next_counter(5, now=0.0, reported=9)
    (6, 2000, 10)

    It ends at COUNTER_MAX, where only somebody who had the director's key can have brought it: a new key
    and a new epoch start anew (ADR 59).
    """
    return min(max(previous + 1, reported + 1, int(now * 1000)), COUNTER_MAX)


def document(
    device: str,
    assignments: Sequence[Assignment],
    *,
    epoch: int,
    counter: int,
    now: float,
    audit_head: str = "",
    life_s: int = LIFE_S,
    farewell: Farewell | None = None,
) -> DesiredState:
    """Models in the order of their names, what answers before what runs in its shadow; the most frequent
    reporting that any of them asks for."""
    ordered = sorted(assignments, key=lambda one: (one.model.model, one.model.mode))
    issued = int(now)
    return DesiredState(
        device=device,
        epoch=epoch,
        counter=counter,
        issued=issued,
        expires=issued + life_s,
        models=tuple(one.model for one in ordered),
        report_every_s=min((one.report_every_s for one in ordered), default=300.0),
        report_every_in_probation_s=min((one.report_every_in_probation_s for one in ordered), default=10.0),
        audit_head=audit_head,
        decommissioned=farewell,
    )
