"""What one tick of one rollout reads: what changed, what is due, what may be offered the release now.

The rest of a rollout over 100,000 devices is known from the counters of its waves (core.tally), so that a
tick costs what has changed (rollouts 3.6, server 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Select, func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.counts import Counts
from limosa_server.core.execution import Return
from limosa_server.core.facts import DeviceFacts, Facts
from limosa_server.core.pace import at_it
from limosa_server.core.retrying import NO_CONDITION
from limosa_server.core.rollout import SHADOW, Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.fleet.habits import usual_gaps
from limosa_server.registry.release_rows import offerable
from limosa_server.rollouts import modes_facts
from limosa_server.rollouts.conditions import conditions_of
from limosa_server.rollouts.outer_facts import outer_facts
from limosa_server.rollouts.rollout_rows import EXECUTION_COLUMNS, OPEN, execution_of, rollout_of, wave_of
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from limosa_server.trust.permits import permitted_from

DUE_PER_TICK: Final = 2000  # executions looked at because they changed or their time has come
OFFERS_PER_TICK: Final = 1000
BACK_PER_TICK: Final = 1000  # withdrawn or sent back; each costs a signature
MINUTE_S: Final = 60.0
_TAKEN: Final = (Execution.SUPERSEDED.value, Execution.REMOVED.value)
_FINE: Final = frozenset({"IDLE", "COMMITTED"})
Row = Any  # a tuple of columns, as Core gives it
Query: TypeAlias = Select[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """`rows`: of the executions in `facts.runs`, by device; tuples of EXECUTION_COLUMNS."""

    facts: Facts
    rows: Mapping[str, Row]


def read(
    tx: Transaction, row: RolloutRow, *, now: float, seen_since: float, everything: bool = False
) -> Read:
    """`seen_since`: devices heard of from then on may have come back. `everything`: all open executions,
    for a decision that concerns each of them (Outcome.incomplete)."""
    tx.flush()  # what joined in this transaction counts
    rollout = rollout_of(row)
    waves = tuple(
        wave_of(one)
        for one in tx.exec(
            select(WaveRow).where(WaveRow.rollout == row.id).order_by(col(WaveRow.index))
        ).all()
    )
    choice = _Choice(tx, rollout, waves, now=now)
    rows = choice.choose(seen_since=seen_since, everything=everything)
    release = tx.exec(
        select(Release).where(Release.model == row.model, Release.version == row.version)
    ).first()
    outer = outer_facts(tx, rollout, release, now=now)
    facts = Facts(
        now=now,
        rollout=rollout,
        waves=waves,
        runs=tuple(execution_of(one) for one in rows.values()),
        devices=_devices(tx, rollout, row.model, list(rows), now=now),
        offered_last_minute=choice.offered_last_minute,
        may_return_to=(*release.may_return_to, *permitted_from(tx, row.model, row.version))
        if release is not None
        else (),
        index_of_version=_version_index(tx, row.model, rollout.spec.on_failure.to),
        obstacle=outer.obstacle,
        approvals=outer.approvals,
        held=outer.held,
        opens_at=outer.opens_at,
        agreement=modes_facts.agreement(tx, rollout, waves, now=now),
        more=choice.more,
    )
    return Read(facts=facts, rows=rows)


class _Choice:
    """Chooses the executions of one tick."""

    def __init__(self, tx: Transaction, rollout: Rollout, waves: Sequence[Wave], *, now: float) -> None:
        self._tx, self._rollout, self._waves, self._now = tx, rollout, waves, now
        self.totals = sum((wave.counts for wave in waves), Counts())
        self.offered_last_minute = self._offered_last_minute()
        self.more = False

    def choose(self, *, seen_since: float, everything: bool) -> dict[str, Row]:
        found: dict[str, Row] = {}

        def take(query: Query) -> int:
            rows = self._tx.connection().execute(query).all()
            found.update((row.device, row) for row in rows)
            return len(rows)

        if everything:
            take(self._mine().where(col(ExecutionRow.state).in_(OPEN)))
            return found
        take(
            self._mine()
            .where(col(ExecutionRow.due_at) <= self._now)
            .order_by(col(ExecutionRow.due_at), col(ExecutionRow.device))
            .limit(DUE_PER_TICK)
        )
        match self._rollout.status:
            case RolloutStatus.CANCELING:
                self.more = take(self._to_withdraw()) > BACK_PER_TICK
            case RolloutStatus.ROLLING_BACK:
                self.more = take(self._to_send_back()) > BACK_PER_TICK
            case _:
                for query in self._returned(seen_since):
                    take(query)
                for query in (*self._to_offer(looked_at=len(found)), *self._left_behind()):
                    take(query)
        return dict(sorted(found.items()))

    def _mine(self) -> Query:
        """Plain tuples: an object of the ORM for each costs more than what is decided about it."""
        return select_columns(*EXECUTION_COLUMNS).where(col(ExecutionRow.rollout) == self._rollout.id)

    def _offered_last_minute(self) -> int:
        return self._tx.exec(
            select(func.count())
            .select_from(ExecutionRow)
            .where(
                ExecutionRow.rollout == self._rollout.id,
                col(ExecutionRow.offered_at) > self._now - MINUTE_S,
            )
        ).one()

    def _to_withdraw(self) -> Query:
        states = (Execution.QUEUED.value,) if self._rollout.stopping else OPEN
        return (
            self._mine()
            .where(col(ExecutionRow.state).in_(states))
            .order_by(col(ExecutionRow.device))
            .limit(BACK_PER_TICK + 1)
        )

    def _to_send_back(self) -> Query:
        """Those of whom nothing has been decided yet; whoever is on the way is looked at when it is due."""
        return (
            self._mine()
            .where(
                col(ExecutionRow.returning) == Return.NONE.value,
                col(ExecutionRow.state).not_in(_TAKEN),
                col(ExecutionRow.state).in_(OPEN) | col(ExecutionRow.offered_at).is_not(None),
            )
            .order_by(col(ExecutionRow.device))
            .limit(BACK_PER_TICK + 1)
        )

    def _returned(self, seen_since: float) -> Iterable[Query]:
        """Executions of devices that were away and have been heard of again."""
        away = sum(wave.away.total for wave in self._waves)
        if not away:
            return
        names = self._tx.exec(select(Device.id).where(col(Device.last_seen) >= seen_since)).all()
        for some in in_rounds(names):
            yield self._mine().where(
                col(ExecutionRow.device).in_(some),
                col(ExecutionRow.away).is_(True),
                col(ExecutionRow.state).in_(OPEN),
            )

    def _to_offer(self, *, looked_at: int) -> Iterable[Query]:
        """Those that wait in the wave under way and in the two that may begin in this tick, as many as the
        rate allows. In the end the tail's are offered it too while they are away."""
        room = self._room()
        if room <= 0 or self._rollout.status is RolloutStatus.PAUSED:
            return
        current = next((wave.index for wave in self._waves if wave.status is not WaveStatus.SUCCEEDED), None)
        tail = len(self._waves) - 1
        ending = current is None or current == tail
        wanted = {tail} if current is None else {current, min(current + 1, tail), tail}
        if current is not None and self._is_busy(self._waves[current], beyond=looked_at):
            wanted = {current}
        for index in sorted(wanted):
            query = self._mine().where(
                col(ExecutionRow.wave) == index, col(ExecutionRow.state) == Execution.QUEUED.value
            )
            if not (index == tail and ending):
                query = query.where(col(ExecutionRow.away).is_(False))
            yield query.order_by(col(ExecutionRow.not_before).is_not(None), col(ExecutionRow.device)).limit(
                room
            )

    def _is_busy(self, wave: Wave, *, beyond: int) -> bool:
        """More devices of it that can be reached are at it than this tick looks at: it cannot be through in
        this tick, and no other wave begins. Ticks come as quickly as reports; they must not read those who
        wait behind it again and again."""
        at_it = (Execution.NOTIFIED, Execution.IN_PROGRESS)
        return wave.counts.of(*at_it) - wave.away.of(*at_it) > beyond

    def _room(self) -> int:
        rate = self._rollout.spec.rate
        room = rate.per_minute(self.totals.succeeded) - self.offered_last_minute
        if rate.max_in_progress is not None:
            room = min(room, rate.max_in_progress - at_it(self._waves))
        return min(room, OFFERS_PER_TICK)

    def _left_behind(self) -> Iterable[Query]:
        """A wave of which only those are left who cannot be reached: they move to the tail."""
        wave = next((one for one in self._waves if one.status is not WaveStatus.SUCCEEDED), None)
        if wave is None or wave.tail or wave.status is not WaveStatus.IN_PROGRESS:
            return
        if wave.counts.open and not wave.present and wave.counts.executed:
            yield self._mine().where(col(ExecutionRow.wave) == wave.index, col(ExecutionRow.state).in_(OPEN))


def _devices(
    tx: Transaction, rollout: Rollout, model: str, names: Sequence[str], *, now: float
) -> dict[str, DeviceFacts]:
    """Of these devices; a plain tuple each, for what a device can do is large and seldom matters here."""
    beside = rollout.lane == SHADOW  # what answers is not what this rollout changes
    rows: list[Row] = []
    for some in in_rounds(names):
        query = (
            select_columns(
                col(Device.id),
                col(Device.online),
                col(Device.last_seen),
                col(Device.enrolled_at),
                col(DeviceModel.phase),
                col(DeviceModel.active_version),
                col(DeviceModel.active_index),
                col(DeviceModel.candidate_index),
            )
            .join(
                DeviceModel,
                (col(DeviceModel.device) == col(Device.id)) & (col(DeviceModel.model) == model),
                isouter=True,
            )
            .where(col(Device.id).in_(some))
        )
        rows += tx.execute(query).all()
    usual = usual_gaps(tx, [row.id for row in rows if not row.online])
    retries = rollout.spec.retry.attempts > 0
    conditions = conditions_of(tx, names, model=model, now=now) if retries else {}
    return {
        row.id: DeviceFacts(
            online=row.online,
            last_seen=row.last_seen or row.enrolled_at,
            running_version="" if beside else row.active_version or "",
            running_index="" if beside else row.active_index or "",
            at_rest=beside or row.phase is None or (row.phase in _FINE and not row.candidate_index),
            usual_gap_s=usual.get(row.id),
            condition=conditions.get(row.id, NO_CONDITION),
        )
        for row in rows
    }


def _version_index(tx: Transaction, model: str, version: str) -> dict[str, str]:
    """Empty where nobody is to be offered that version any more: it was in order when the file was taken."""
    if not version:
        return {}
    found = tx.exec(select(Release).where(Release.model == model, Release.version == version)).first()
    return {version: found.index_sha256} if found is not None and offerable(found) else {}
