"""What devices report, as it changes their executions; in the transaction that commits the reports.

Give `on_reports` to `ServerState.report_handlers`. It reads DeviceModel rows of the same transaction,
so it comes after the foundation has stored what the devices said of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_contracts.errors import LimosaError
from limosa_contracts.event import UpdateEvent
from limosa_contracts.phases import Execution
from limosa_contracts.reported import Reported, ReportedModel
from limosa_contracts.rollout.retry import Retry
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.execution import DeviceExecution, Return, on_phase, on_reported, on_way_back
from limosa_server.core.retrying import Condition, again
from limosa_server.core.rollout import SHADOW
from limosa_server.rollouts.conditions import conditions_of
from limosa_server.rollouts.executions import save_many
from limosa_server.rollouts.rollout_rows import EXECUTION_COLUMNS, EXECUTIONS, execution_of
from limosa_server.rollouts.taking_over import STARTED
from limosa_server.state import News
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.rollouts import RolloutRow

Lane: TypeAlias = tuple[str, str]  # model, lane
Place: TypeAlias = tuple[int, str]  # rollout, device
ACTIVE: Final = "active"
_ON_THE_WAY: Final = (Return.SENT, Return.STUCK)
_MAY_CHANGE: Final = tuple(
    state
    for state in Execution
    if not state.terminal or state in (Execution.TIMED_OUT, Execution.SUCCEEDED, Execution.ALREADY_INSTALLED)
)


def on_reports(tx: Transaction, news: News, now: float) -> None:
    """Never raises for what a device can send: an unknown rollout or attempt changes nothing."""
    batch = _Batch(tx, news, now)
    for device, reports in news.items():
        for report in reports:
            if isinstance(report, UpdateEvent):
                batch.event(device, report)
            elif isinstance(report, Reported):
                batch.reported(device, report)
    batch.save()


class _Batch:
    """The executions that one batch of reports may change: read at once, changed in memory, written at
    once (server 2.3)."""

    def __init__(self, tx: Transaction, news: News, now: float) -> None:
        self._tx, self._now = tx, now
        tx.flush()
        events = {
            device: [one for one in reports if isinstance(one, UpdateEvent)]
            for device, reports in news.items()
        }
        said = {device for device, reports in news.items() if any(isinstance(r, Reported) for r in reports)}
        self._devices = sorted(said | {device for device, some in events.items() if some})
        numbers = {_number(event) for some in events.values() for event in some}
        self._before = _executions(tx, self._devices, sorted(numbers - {0}))
        self._runs = dict(self._before)
        self._of_device: dict[str, list[int]] = {}
        for rollout, device in self._runs:
            self._of_device.setdefault(device, []).append(rollout)
        self._rollouts = _rollouts(tx, sorted({rollout for rollout, _ in self._runs}))
        self._active = _active_indexes(tx, sorted(device for device, some in events.items() if some))
        self._retries: dict[int, Retry] = {}
        self._conditions: dict[str, Mapping[str, Condition]] = {}  # by model

    def save(self) -> None:
        save_many(
            self._tx,
            ((place[0], self._before[place], run) for place, run in self._runs.items()),
        )

    def event(self, device: str, event: UpdateEvent) -> None:
        place = (_number(event), device)
        run = self._runs.get(place)
        if run is None or event.kind != "update":
            return
        rollout = self._rollouts[place[0]]
        # An event of the way back names the old release; only the release itself moves the execution.
        if event.index_sha256 != rollout.index_sha256 or event.attempt != run.attempt:
            return
        beside = event.extra.get("lane") == SHADOW
        if run.offered_at is None or beside != (rollout.lane == SHADOW):
            return
        running = beside or self._active.get((device, event.model)) == rollout.index_sha256
        reason = event.reason
        after = on_phase(
            run, event.phase, running=running, reason=reason.message, code=reason.code, now=self._now
        )
        self._runs[place] = self._again(after, rollout)

    def reported(self, device: str, reported: Reported) -> None:
        """The device's own word overrides what the server believes (rollouts 3.1)."""
        mine = [
            number for number in self._of_device.get(device, ()) if _may_change(self._runs[number, device])
        ]
        if not mine:
            return
        said = _by_lane(reported)
        newest: dict[Lane, int] = {}
        for number in mine:
            rollout = self._rollouts[number]
            lane = (rollout.model, rollout.lane)
            newest[lane] = max(newest.get(lane, 0), number)
        for number in mine:
            rollout = self._rollouts[number]
            lane = (rollout.model, rollout.lane)
            model, index = said.get(lane), rollout.index_sha256
            run = self._runs[number, device]
            if model is not None and (number == newest[lane] or model.rollout == str(number)):
                run = on_reported(run, model, rollout=number, index_sha256=index, now=self._now)
            self._runs[number, device] = on_way_back(run, model, seen=reported.desired, index_sha256=index)

    def _again(self, after: DeviceExecution, rollout: Any) -> DeviceExecution:
        """A failure may be followed by a further attempt, where the file says so (rollouts 3.9)."""
        if not after.state.failed or rollout.status not in STARTED:
            return after
        retry = self._retries.get(rollout.id)
        if retry is None:
            spec = self._tx.get_one(RolloutRow, rollout.id).spec
            retry = self._retries[rollout.id] = RolloutSpec.parse(spec).retry
        if not retry.attempts:
            return after
        known = self._conditions.get(rollout.model)
        if known is None:
            known = conditions_of(self._tx, self._devices, model=rollout.model, now=self._now)
            self._conditions[rollout.model] = known
        return again(after, retry, known[after.device], now=self._now)


def _number(event: UpdateEvent) -> int:
    """Of its rollout; 0 for what is none."""
    text = event.rollout
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if number < 2**63 else 0


def _may_change(run: DeviceExecution) -> bool:
    return run.offered_at is not None and (run.returning in _ON_THE_WAY or run.state in _MAY_CHANGE)


def _executions(tx: Transaction, devices: list[str], numbers: list[int]) -> dict[Place, DeviceExecution]:
    """Those that events name, and those of which what a device says of itself may change something."""
    c = EXECUTIONS.c
    open_ones = c.offered_at.is_not(None) & (
        c.way_back.in_([one.value for one in _ON_THE_WAY]) | c.state.in_([one.value for one in _MAY_CHANGE])
    )
    wanted = open_ones | c.rollout.in_(numbers) if numbers else open_ones
    found: dict[Place, DeviceExecution] = {}
    for some in in_rounds(devices):
        query = select_columns(*EXECUTION_COLUMNS).where(c.device.in_(some), wanted)
        for row in tx.connection().execute(query.order_by(c.rollout, c.device)):
            found[row.rollout, row.device] = execution_of(row)
    return found


def _rollouts(tx: Transaction, numbers: list[int]) -> dict[int, Any]:
    """Plain tuples: a file is large, and seldom asked for here."""
    columns = (RolloutRow.id, RolloutRow.model, RolloutRow.index_sha256, RolloutRow.lane, RolloutRow.status)
    return {
        row.id: row
        for some in in_rounds(numbers)
        for row in tx.execute(
            select_columns(*(col(one) for one in columns)).where(col(RolloutRow.id).in_(some))
        )
    }


def _active_indexes(tx: Transaction, devices: list[str]) -> dict[tuple[str, str], str]:
    """(device, model) -> digest of the release that it says is running."""
    columns = (DeviceModel.device, DeviceModel.model, DeviceModel.active_index)
    return {
        (device, model): index
        for some in in_rounds(devices)
        for device, model, index in tx.execute(
            select_columns(*(col(one) for one in columns)).where(col(DeviceModel.device).in_(some))
        )
    }


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
