"""Ends what a device that is decommissioned has not ended: its executions in open rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_server.core.changing import changed
from limosa_server.core.device_state import DeviceState
from limosa_server.core.execution import ExecutionEvent, Return
from limosa_server.core.rollout import RolloutStatus
from limosa_server.fleet.departure import Departed, Departure
from limosa_server.rollouts.executions import save
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.store import Transaction
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

CODE: Final = DeviceState.DECOMMISSIONED.value
_OPEN: Final = tuple(status.value for status in RolloutStatus if not status.terminal)


def on_leaving(tx: Transaction, gone: Departure) -> Mapping[str, JsonValue]:
    """The rollouts it was taken out of; one that is only revoked may come back, and stays in them. Where it
    was through, it is not sent back with the others, nor waited for."""
    if gone.how is not Departed.DECOMMISSIONED:
        return {}
    found: list[JsonValue] = []
    still_open = set(tx.exec(select(RolloutRow.id).where(col(RolloutRow.status).in_(_OPEN))))
    rows = tx.exec(
        select(ExecutionRow).where(ExecutionRow.device == gone.device).order_by(col(ExecutionRow.rollout))
    ).all()
    for row in rows:
        before = execution_of(row)
        if before.state.terminal:
            waits = before.returning is Return.SENT  # for ever, also where the rollout has ended
            if waits or (before.returning is Return.NONE and row.rollout in still_open):
                save(tx, row, before, changed(before, returning=Return.NOT_NEEDED))
            continue
        why = f"the device is decommissioned{f': {gone.reason}' if gone.reason else ''}"
        after = before.after(ExecutionEvent.REMOVE, now=gone.at, step="removed", reason=why, code=CODE)
        if save(tx, row, before, after):
            found.append(row.rollout)
    return {"rollouts": found}
