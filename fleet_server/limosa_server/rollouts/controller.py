"""The controller: one idempotent tick (style 4). Killing the server between two ticks loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import ColumnElement, func
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.advance import advance
from limosa_server.core.counts import Counts
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.facts import DeviceFacts, Facts, GoBack, Offer, Order, Outcome, Promote
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.promotion import promote_if_shown
from limosa_server.rollouts import findings
from limosa_server.rollouts.rollout_rows import (
    decision_row,
    execution_of,
    rollout_of,
    wave_of,
    write_execution,
    write_rollout,
    write_wave,
)
from limosa_server.store import Store, Transaction
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import AssignmentRow, ExecutionRow, RolloutRow, WaveRow
from limosa_server.trust.director import Director
from limosa_server.trust.permits import permitted_from

log = logging.getLogger(__name__)
ACTIVE: Final = tuple(status.value for status in RolloutStatus if not status.terminal)
OPEN: Final = tuple(state.value for state in Execution if not state.terminal)
RENEWED_PER_TICK: Final = 200  # documents; at 26 µs a signature this stays far below a tick
_FINE: Final = frozenset({"IDLE", "COMMITTED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    store: Store
    director: Director
    blobs: Blobs
    clock: Callable[[], float]

    def tick(self) -> int:
        """Advances every active rollout, each in its own transaction; how many it tried."""
        with self.store.read() as tx:
            ids = tx.exec(
                select(RolloutRow.id).where(col(RolloutRow.status).in_(ACTIVE)).order_by(col(RolloutRow.id))
            ).all()
        for number in ids:
            assert number is not None
            try:
                self._advance(number)
            except Exception as error:
                # One bad rollout never stops the others; it is tried again in the next tick.
                log.exception("rollout %s could not be advanced", number)
                self._record_failure(number, error)
        self._renew()
        return len(ids)

    def _advance(self, number: int) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            row = tx.get(RolloutRow, number)
            if row is None or row.status not in ACTIVE:
                return
            outcome = advance(_facts(tx, row, now))
            _Writer(tx, row, self.director, self.blobs, now).write(outcome)
            counts = sum((wave.counts for wave in outcome.waves), Counts())
            findings.keep(tx, row, counts, now=now)

    def _record_failure(self, number: int, error: Exception) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            row = tx.get(RolloutRow, number)
            if row is not None and row.failing_since is None:
                row.failing_since, row.failing_reason = now, f"{type(error).__name__}: {error}"[:1024]
                tx.add(row)
                tx.announce(f"rollout {number}")

    def _renew(self) -> None:
        """A document is signed anew at half of its life (trust 4.2)."""
        now = self.clock()
        with self.store.read() as tx:
            stale = self.director.stale(tx, now=now, limit=RENEWED_PER_TICK)
        if stale:
            with self.store.transaction() as tx:
                for device in stale:
                    self.director.issue(tx, device, now=now)


def _facts(tx: Transaction, row: RolloutRow, now: float) -> Facts:
    rollout = rollout_of(row)
    waves = tx.exec(select(WaveRow).where(WaveRow.rollout == row.id).order_by(col(WaveRow.index))).all()
    runs = tuple(execution_of(one) for one in _runs(tx, rollout))
    release = tx.exec(
        select(Release).where(Release.model == row.model, Release.version == row.version)
    ).first()
    return Facts(
        now=now,
        rollout=rollout,
        waves=tuple(wave_of(wave) for wave in waves),
        runs=runs,
        devices=_devices(tx, rollout, row.model),
        offered_last_minute=tx.exec(
            select(func.count())
            .select_from(ExecutionRow)
            .where(ExecutionRow.rollout == row.id, col(ExecutionRow.offered_at) > now - 60)
        ).one(),
        may_return_to=(*release.may_return_to, *permitted_from(tx, row.model, row.version))
        if release is not None
        else (),
        index_of_version=_version_index(tx, row.model, rollout.spec.on_failure.to),
    )


def _wanted(rollout: Rollout) -> ColumnElement[bool]:
    """Which executions a tick looks at: the open ones, and on the way back those that were offered it."""
    wanted = col(ExecutionRow.state).in_(OPEN)
    if rollout.status is RolloutStatus.ROLLING_BACK:
        on_the_way = (Return.NONE.value, Return.SENT.value, Return.STUCK.value)
        return wanted | (
            col(ExecutionRow.offered_at).is_not(None) & col(ExecutionRow.returning).in_(on_the_way)
        )
    return wanted


def _runs(tx: Transaction, rollout: Rollout) -> list[ExecutionRow]:
    query = select(ExecutionRow).where(ExecutionRow.rollout == rollout.id, _wanted(rollout))
    return list(tx.exec(query).all())


def _devices(tx: Transaction, rollout: Rollout, model: str) -> dict[str, DeviceFacts]:
    rows = tx.exec(
        select(Device, DeviceModel)
        .join(ExecutionRow, col(ExecutionRow.device) == col(Device.id))
        .join(
            DeviceModel,
            (col(DeviceModel.device) == col(Device.id)) & (col(DeviceModel.model) == model),
            isouter=True,
        )
        .where(ExecutionRow.rollout == rollout.id, _wanted(rollout))
    ).all()
    return {device.id: device_facts(device, said) for device, said in rows}


def device_facts(device: Device, said: DeviceModel | None) -> DeviceFacts:
    return DeviceFacts(
        online=device.online,
        last_seen=device.last_seen or device.enrolled_at,
        running_version=said.active_version if said else "",
        running_index=said.active_index if said else "",
        at_rest=said is None or (said.phase in _FINE and not said.candidate_index),
    )


def _version_index(tx: Transaction, model: str, version: str) -> dict[str, str]:
    if not version:
        return {}
    found = tx.exec(select(Release).where(Release.model == model, Release.version == version)).first()
    return {version: found.index_sha256} if found is not None else {}


class _Writer:
    """Writes one outcome: rows, desired documents, messages; all in one transaction."""

    def __init__(
        self, tx: Transaction, row: RolloutRow, director: Director, blobs: Blobs, now: float
    ) -> None:
        self._tx = tx
        self._row = row
        self._director = director
        self._blobs = blobs  # evidence lies there, which a promotion may ask for
        self._now = now
        self._runs: dict[str, DeviceExecution] = {}

    def write(self, outcome: Outcome) -> None:
        assert self._row.id is not None
        self._runs = {run.device: run for run in outcome.runs}
        for order in outcome.orders:
            self._carry_out(order, outcome.rollout)
        for run in self._runs.values():
            execution = self._tx.get(ExecutionRow, (self._row.id, run.device))
            assert execution is not None
            write_execution(execution, run)
        for wave in outcome.waves:
            found = self._tx.get(WaveRow, (self._row.id, wave.index))
            assert found is not None
            if wave_of(found) != wave:
                write_wave(found, wave)
        reason = self._row.reason
        changed = write_rollout(self._row, outcome.rollout)
        self._row.failing_since, self._row.failing_reason = None, ""
        for decision in outcome.decisions:
            self._tx.add(decision_row(self._row.id, decision, at=self._now))
        if changed or outcome.runs or outcome.decisions or reason != self._row.reason:
            self._tx.announce("rollouts", f"rollout {self._row.id}")

    def _carry_out(self, order: Order, rollout: Rollout) -> None:
        match order:
            case Offer(device):
                self._assign(device, rollout, str(rollout.spec.release.version), rollout.index_sha256)
            case GoBack(device, version, index_sha256):
                self._assign(device, rollout, version, index_sha256)
            case Promote():
                self._promote()

    def _assign(self, device: str, rollout: Rollout, version: str, index_sha256: str) -> None:
        """What the device shall run, in its signed document; "" takes the model out of it."""
        model = str(rollout.spec.release.name)
        row = self._tx.get(AssignmentRow, (device, model))
        if row is not None and row.rollout and int(row.rollout) > rollout.id:
            return  # a newer rollout has taken this device over (rollouts 2)
        if not version:
            if row is not None:
                self._tx.delete(row)
        else:
            run = self._runs.get(device)
            row = row or AssignmentRow(device=device, model=model, version="", index_sha256="", updated_at=0)
            row.version, row.index_sha256 = version, index_sha256
            # The way back is an attempt of its own, so that its events are not taken for the release's.
            going_back = index_sha256 != rollout.index_sha256
            row.rollout, row.attempt = str(rollout.id), (run.attempt if run else 1) + going_back
            row.trial = dict(rollout.spec.trial.as_json())
            row.report_every_s = rollout.spec.report_every_s
            row.report_every_in_probation_s = rollout.spec.report_every_in_probation_s
            row.updated_at = self._now
            self._tx.add(row)
        self._tx.flush()
        document = self._director.issue(self._tx, device, now=self._now)
        if device in self._runs:
            self._runs[device] = replace(self._runs[device], document=document)

    def _promote(self) -> None:
        """It has proven itself; what is in production stays, so that a return stays allowed."""
        release = self._tx.exec(
            select(Release).where(Release.model == self._row.model, Release.version == self._row.version)
        ).one()
        assert self._row.id is not None
        promote_if_shown(self._tx, self._blobs, release, at=self._now, rollout=self._row.id)
