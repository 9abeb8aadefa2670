"""Which devices that cannot answer now a wave waits for: the last ones, when somebody asks why it stands.

While many are open, the kept counters say how it goes, and nobody reads a list. Of the last few it matters
who they are: one that was revoked, or lies in a drawer, is what the wave waits for (rollouts 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Execution
from limosa_server.core.device_state import DeviceState, standing
from limosa_server.core.rollout import RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

FEW: Final = 100
"""Open executions of the wave; with more, nothing is looked up."""
NAMED: Final = 5
_OFFERED: Final = (Execution.NOTIFIED.value, Execution.IN_PROGRESS.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    device: str
    link: str  # offline, revoked or decommissioned
    last_seen: float | None  # Unix seconds

    def as_json(self) -> dict[str, JsonValue]:
        return {"device": self.device, "link": self.link, "last_seen": self.last_seen}


def waits_for(tx: Transaction, row: RolloutRow, waves: Sequence[Wave]) -> tuple[Missed, ...]:
    """The first NAMED by their names; none while more than FEW are open."""
    wave = next((one for one in waves if one.status is not WaveStatus.SUCCEEDED), None)
    if row.status != RolloutStatus.RUNNING.value or wave is None or not 0 < wave.counts.open <= FEW:
        return ()
    rows = tx.execute(
        select_columns(col(Device.id), col(Device.state), col(Device.online), col(Device.last_seen))
        .join(ExecutionRow, col(ExecutionRow.device) == col(Device.id))
        .where(
            col(ExecutionRow.rollout) == row.id,
            col(ExecutionRow.wave) == wave.index,
            col(ExecutionRow.state).in_(_OFFERED),
            or_(col(Device.online).is_(False), col(Device.state) != DeviceState.ACTIVE),
        )
        .order_by(col(Device.id))
        .limit(NAMED)
    ).all()
    return tuple(
        Missed(device=device, link=standing(state, online), last_seen=seen)
        for device, state, online, seen in rows
    )
