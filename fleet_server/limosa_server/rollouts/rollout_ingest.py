"""What devices report, as it changes their executions; in the transaction that commits the reports.

Give `on_reports` to `ServerState.report_handlers`. It reads DeviceModel rows of the same transaction,
so it comes after the foundation has stored what the device said of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlmodel import col, select

from limosa_contracts.event import UpdateEvent
from limosa_contracts.phases import Execution
from limosa_contracts.reported import Reported
from limosa_server.core.execution import Return, on_phase, on_reported, on_way_back
from limosa_server.rollouts.executions import save
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.state import Report
from limosa_server.store import Transaction
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

_ON_THE_WAY: Final = (Return.SENT.value, Return.STUCK.value)


def on_reports(tx: Transaction, device: str, reports: Sequence[Report], now: float) -> None:
    """Never raises for what a device can send: an unknown rollout or attempt changes nothing."""
    for report in reports:
        if isinstance(report, UpdateEvent):
            _event(tx, device, report, now)
        elif isinstance(report, Reported):
            _reported(tx, device, report, now)


def _event(tx: Transaction, device: str, event: UpdateEvent, now: float) -> None:
    number = int(event.rollout) if event.rollout.isascii() and event.rollout.isdigit() else 0
    row = tx.get(ExecutionRow, (number, device)) if 0 < number < 2**63 else None
    rollout = tx.get(RolloutRow, number) if row is not None else None
    if row is None or rollout is None or event.kind != "update":
        return
    # An event of the way back names the old release; only the release itself moves the execution.
    if event.index_sha256 != rollout.index_sha256 or event.attempt != row.attempt or row.offered_at is None:
        return
    said = tx.get(DeviceModel, (device, event.model))
    running = said is not None and said.active_index == rollout.index_sha256
    run = execution_of(row)
    save(
        tx,
        row,
        run,
        on_phase(
            run, event.phase, running=running, reason=event.reason.message, code=event.reason.code, now=now
        ),
    )


def _reported(tx: Transaction, device: str, reported: Reported, now: float) -> None:
    """The device's own word overrides what the server believes (rollouts 3.1)."""
    said = {model.model: model for model in reported.models}
    rows = tx.exec(
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            ExecutionRow.device == device,
            col(ExecutionRow.offered_at).is_not(None),
            (col(ExecutionRow.returning).in_(_ON_THE_WAY)) | (col(ExecutionRow.state).in_(_MAY_CHANGE)),
        )
    ).all()
    newest: dict[str, int] = {}
    for row, rollout in rows:
        newest[rollout.model] = max(newest.get(rollout.model, 0), row.rollout)
    for row, rollout in rows:
        model = said.get(rollout.model)
        run = after = execution_of(row)
        if model is not None and (row.rollout == newest[rollout.model] or model.rollout == str(row.rollout)):
            after = on_reported(after, model, rollout=row.rollout, index_sha256=rollout.index_sha256, now=now)
        after = on_way_back(after, model, seen=reported.desired, index_sha256=rollout.index_sha256)
        save(tx, row, run, after)


_MAY_CHANGE: Final = tuple(
    state.value
    for state in Execution
    if not state.terminal or state in (Execution.TIMED_OUT, Execution.SUCCEEDED, Execution.ALREADY_INSTALLED)
)
