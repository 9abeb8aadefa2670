"""What devices report, as it changes their executions; in the transaction that commits the reports.

Give `on_reports` to `ServerState.report_handlers`. It reads DeviceModel rows of the same transaction,
so it comes after the foundation has stored what the device said of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from sqlmodel import col, select

from limosa_contracts.errors import LimosaError
from limosa_contracts.event import UpdateEvent
from limosa_contracts.phases import Execution
from limosa_contracts.reported import Reported, ReportedModel
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.execution import DeviceExecution, Return, on_phase, on_reported, on_way_back
from limosa_server.core.retrying import again
from limosa_server.rollouts.conditions import condition_of
from limosa_server.rollouts.executions import save
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.rollouts.shadow_lane import SHADOW
from limosa_server.rollouts.taking_over import STARTED
from limosa_server.state import Report
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

Lane: TypeAlias = tuple[str, str]  # model, lane
ACTIVE: Final = "active"
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
    beside = event.extra.get("lane") == SHADOW
    if beside != (rollout.lane == SHADOW):
        return
    said = tx.get(DeviceModel, (device, event.model))
    running = beside or (said is not None and said.active_index == rollout.index_sha256)
    run = execution_of(row)
    after = on_phase(
        run, event.phase, running=running, reason=event.reason.message, code=event.reason.code, now=now
    )
    save(tx, row, run, _again(tx, after, rollout, device, now))


def _again(
    tx: Transaction, after: DeviceExecution, rollout: RolloutRow, device: str, now: float
) -> DeviceExecution:
    """A failure may be followed by a further attempt, where the file says so (rollouts 3.9)."""
    if not after.state.failed or rollout.status not in STARTED:
        return after
    retry = RolloutSpec.parse(rollout.spec).retry
    return again(after, retry, condition_of(tx.get_one(Device, device)), now=now)


def _reported(tx: Transaction, device: str, reported: Reported, now: float) -> None:
    """The device's own word overrides what the server believes (rollouts 3.1)."""
    said = _by_lane(reported)
    rows = tx.exec(
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(
            ExecutionRow.device == device,
            col(ExecutionRow.offered_at).is_not(None),
            (col(ExecutionRow.returning).in_(_ON_THE_WAY)) | (col(ExecutionRow.state).in_(_MAY_CHANGE)),
        )
    ).all()
    newest: dict[Lane, int] = {}
    for row, rollout in rows:
        lane = (rollout.model, rollout.lane)
        newest[lane] = max(newest.get(lane, 0), row.rollout)
    for row, rollout in rows:
        lane = (rollout.model, rollout.lane)
        model = said.get(lane)
        run = after = execution_of(row)
        if model is not None and (row.rollout == newest[lane] or model.rollout == str(row.rollout)):
            after = on_reported(after, model, rollout=row.rollout, index_sha256=rollout.index_sha256, now=now)
        after = on_way_back(after, model, seen=reported.desired, index_sha256=rollout.index_sha256)
        save(tx, row, run, after)


def _by_lane(reported: Reported) -> dict[Lane, ReportedModel]:
    """What the device says of each model, and of the challenger beside it; a challenger that cannot be
    read says nothing."""
    said: dict[Lane, ReportedModel] = {}
    for model in reported.models:
        said[model.model, ACTIVE] = model
        beside = model.extra.get("shadow")
        if beside is None:
            continue
        try:
            said[model.model, SHADOW] = ReportedModel.parse(beside, where="reported.models.shadow")
        except LimosaError:
            continue
    return said


_MAY_CHANGE: Final = tuple(
    state.value
    for state in Execution
    if not state.terminal or state in (Execution.TIMED_OUT, Execution.SUCCEEDED, Execution.ALREADY_INSTALLED)
)
