"""The controller: one idempotent tick (style 4). Killing the server between two ticks loses nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlmodel import col, select

from limosa_server.core.advance import advance
from limosa_server.core.board import NOBODY
from limosa_server.core.counts import Counts
from limosa_server.core.due import next_look
from limosa_server.core.execution import DeviceExecution
from limosa_server.core.facts import GoBack, Offer, Order, Outcome, Promote, TakeOver
from limosa_server.core.judging.samples import Comparison
from limosa_server.core.rollout import SHADOW, Rollout, RolloutStatus
from limosa_server.registry.blobs import Blobs
from limosa_server.registry.promotion import promote_if_shown
from limosa_server.rollouts import findings, joining, metric_facts, modes_facts, shadow_lane, tick_reading
from limosa_server.rollouts.assigning import Wanted, assign
from limosa_server.rollouts.decisions import keep_decision
from limosa_server.rollouts.executions import write_due, write_many
from limosa_server.rollouts.rollout_rows import wave_of, write_rollout, write_wave
from limosa_server.rollouts.taking_over import take_over
from limosa_server.store import Store, Transaction
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import RolloutRow, WaveRow
from limosa_server.trust.director import Director

log = logging.getLogger(__name__)
ACTIVE: Final = tuple(status.value for status in RolloutStatus if not status.terminal)
OVERLAP_S: Final = 30.0  # a sign of life is committed later than the time it bears
DOCUMENTS_EVERY_S: Final = 1.0
_RENEWAL: Final = "renewal"
_DOCUMENTS: Final = 0  # in `_looked_at`; no rollout has this number
RENEWED_PER_TICK: Final = 200  # documents; at 26 µs a signature this stays far below a tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    store: Store
    director: Director
    blobs: Blobs
    clock: Callable[[], float]
    promotes: bool = True  # by itself; not where a promotion takes two persons
    _looked_at: dict[int, float] = field(default_factory=dict)  # rollout -> its last tick here
    _places: dict[str, str] = field(default_factory=dict)  # walk over the fleet -> device it has come to

    def tick(self) -> int:
        """Advances every active rollout, the highest rank first, each in its own transaction; how many."""
        with self.store.read() as tx:
            ids = tx.exec(
                select(RolloutRow.id)
                .where(col(RolloutRow.status).in_(ACTIVE), RolloutRow.status != RolloutStatus.DRAFT.value)
                .order_by(col(RolloutRow.priority).desc(), col(RolloutRow.id).desc())
            ).all()
        for number in ids:
            assert number is not None
            try:
                self._advance(number)
            except Exception as error:
                # One bad rollout never stops the others; it is tried again in the next tick.
                log.exception("rollout %s could not be advanced", number)
                self._record_failure(number, error)
        self._look_after_documents()
        return len(ids)

    def _look_after_documents(self) -> None:
        """Once in a second of the clock: reports wake the controller far more often, and change nothing
        here."""
        now = self.clock()
        if 0.0 <= now - self._looked_at.get(_DOCUMENTS, -math.inf) < DOCUMENTS_EVERY_S:
            return
        self._looked_at[_DOCUMENTS] = now
        self._renew()
        modes_facts.clear_away(self.store, self.director, now=now)

    def _advance(self, number: int) -> None:
        now = self.clock()
        with self.store.read() as tx:  # windows of many devices: read before anybody has to wait for it
            comparison = metric_facts.read_due(tx, number, now=now)
        with self.store.transaction() as tx:
            row = tx.get(RolloutRow, number)
            if row is None or row.status not in ACTIVE:
                return
            joining.follow(tx, row, now=now)
            outcome, due = self._decide(tx, row, now, comparison)
            blobs = self.blobs if self.promotes else None
            _Writer(tx, row, self.director, blobs, now).write(outcome, due)
            counts = sum((wave.counts for wave in outcome.waves), Counts())
            findings.keep(tx, row, counts, now=now)

    def _decide(
        self, tx: Transaction, row: RolloutRow, now: float, comparison: Comparison | None
    ) -> tuple[Outcome, Mapping[str, float | None]]:
        """What to do, and when what changes or was looked at too late is due again, as core.due says."""
        assert row.id is not None
        since = self._looked_at.get(row.id, 0.0) - OVERLAP_S
        found = tick_reading.read(tx, row, now=now, seen_since=since)
        outcome = advance(replace(found.facts, comparison=comparison))
        if outcome.incomplete:
            found = tick_reading.read(tx, row, now=now, seen_since=since, everything=True)
            outcome = advance(replace(found.facts, comparison=comparison))
        self._looked_at[row.id] = now
        changed = {run.device: run for run in outcome.runs}
        again: dict[str, float | None] = {}
        for run in found.facts.runs:
            latest = changed.get(run.device, run)
            device = found.facts.devices.get(run.device, NOBODY)
            due = next_look(latest, outcome.rollout, device, now=now)
            if run.device in changed or found.rows[run.device].due_at != due:
                again[run.device] = due
        return outcome, again

    def _record_failure(self, number: int, error: Exception) -> None:
        now = self.clock()
        with self.store.transaction() as tx:
            row = tx.get(RolloutRow, number)
            if row is not None and row.failing_since is None:
                row.failing_since, row.failing_reason = now, f"{type(error).__name__}: {error}"[:1024]
                tx.add(row)
                tx.announce(f"rollout {number}")

    def _renew(self) -> None:
        """A document is signed anew at half of its life (trust 4.2); each tick looks at a part of them."""
        now = self.clock()
        with self.store.read() as tx:
            stale, self._places[_RENEWAL] = self.director.stale(
                tx, now=now, limit=RENEWED_PER_TICK, after=self._places.get(_RENEWAL, "")
            )
        if stale:
            with self.store.transaction() as tx:
                self.director.issue_many(tx, stale, now=now)


class _Writer:
    """Writes one outcome: rows, desired documents, messages; all in one transaction."""

    def __init__(
        self, tx: Transaction, row: RolloutRow, director: Director, blobs: Blobs | None, now: float
    ) -> None:
        self._tx = tx
        self._row = row
        self._director = director
        self._blobs = blobs  # evidence lies there, which a promotion may ask for; None: no promotion
        self._now = now
        self._runs: dict[str, DeviceExecution] = {}
        self._wanted: dict[str, Wanted] = {}

    def write(self, outcome: Outcome, due: Mapping[str, float | None]) -> None:
        """`due`: of every execution in it, and of others whose time is another now."""
        number = self._row.id
        assert number is not None
        self._runs = {run.device: run for run in outcome.runs}
        for order in outcome.orders:
            self._carry_out(order, outcome.rollout)
        self._tell(outcome.rollout)
        write_many(self._tx, [(number, run, due[run.device]) for run in self._runs.values()])
        write_due(self._tx, [(number, name, at) for name, at in due.items() if name not in self._runs])
        for wave in outcome.waves:
            found = self._tx.get(WaveRow, (number, wave.index))
            assert found is not None
            if wave_of(found) != wave:
                write_wave(found, wave)
        reason = self._row.reason
        changed = write_rollout(self._row, outcome.rollout)
        self._row.failing_since, self._row.failing_reason = None, ""
        for decision in outcome.decisions:
            keep_decision(self._tx, number, decision, at=self._now)
        if changed or outcome.runs or outcome.decisions or reason != self._row.reason:
            self._tx.announce("rollouts", f"rollout {number}")

    def _carry_out(self, order: Order, rollout: Rollout) -> None:
        match order:
            case Offer(device):
                self._wanted[device] = (str(rollout.spec.release.version), rollout.index_sha256)
            case GoBack(device, version, index_sha256):
                self._wanted[device] = (version, index_sha256)
            case Promote():
                self._promote()
            case TakeOver():
                take_over(self._tx, rollout, model=self._row.model, now=self._now)

    def _tell(self, rollout: Rollout) -> None:
        """What the devices shall run, in their signed documents."""
        attempts = {device: run.attempt for device, run in self._runs.items()}
        if rollout.lane == SHADOW:
            told: Collection[str] = self._wanted
            for device, (version, _) in self._wanted.items():
                self._put_beside(device, rollout, attempts.get(device, 1) if version else 0)
        else:
            told = assign(self._tx, rollout, self._row.model, self._wanted, attempts=attempts, now=self._now)
        documents = self._director.issue_many(self._tx, told, now=self._now)
        for device, document in documents.items():
            if device in self._runs:
                self._runs[device] = replace(self._runs[device], document=document)

    def _put_beside(self, device: str, rollout: Rollout, attempt: int) -> None:
        """`attempt` 0: it is taken away."""
        if attempt:
            shadow_lane.put_beside(self._tx, device, rollout, attempt=attempt, now=self._now)
        else:
            shadow_lane.take_away(self._tx, device, rollout)

    def _promote(self) -> None:
        """It has proven itself; what is in production stays, so that a return stays allowed."""
        if self._blobs is None:
            return
        release = self._tx.exec(
            select(Release).where(Release.model == self._row.model, Release.version == self._row.version)
        ).one()
        assert self._row.id is not None
        promote_if_shown(self._tx, self._blobs, release, at=self._now, rollout=self._row.id)
