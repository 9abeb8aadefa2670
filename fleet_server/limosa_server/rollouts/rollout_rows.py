"""Between the tables of rollouts and the core's values, explicitly (server 2.1)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import quoted_name

from limosa_contracts.phases import Execution
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.counts import Counts
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.judging.judge import Decision
from limosa_server.core.rollout import Pause, Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.store.bulk import as_text
from limosa_server.store.table_of import table_of
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow

OPEN: Final = tuple(state.value for state in Execution if not state.terminal)
"""States, as rows have them, of executions that have not ended."""
_WAY_BACK: Final = "way_back"  # the column; `returning` is a word of SQL
EXECUTIONS: Final = table_of(ExecutionRow)
EXECUTION_COLUMNS: Final = tuple(
    one.label(quoted_name("returning", quote=True)) if one.name == _WAY_BACK else one
    for one in EXECUTIONS.columns
)
"""For reading many at once, without an object of the ORM for each."""


def rollout_of(row: RolloutRow) -> Rollout:
    assert row.id is not None
    return Rollout(
        id=row.id,
        spec=_spec(json.dumps(row.spec)),
        index_sha256=row.index_sha256,
        status=RolloutStatus(row.status),
        since=row.since,
        reason=row.reason,
        pause=Pause(row.pause),
        accepted_failures=row.accepted_failures,
        accepted=dict(row.accepted),
        stragglers=row.stragglers,
        rollback_scope=Scope(row.rollback_scope),
        failed_wave=row.failed_wave,
        created_by=row.created_by,
        started_at=row.started_at,
        follows=row.follows,
        settled=row.settled,
        stopping=row.stopping,
        resume_at=row.resume_at,
        bytes_free_at=row.bytes_free_at,
    )


@lru_cache(maxsize=256)
def _spec(text: str) -> RolloutSpec:
    """Its file never changes, and each tick asks for it."""
    return RolloutSpec.parse(json.loads(text))


def write_rollout(row: RolloutRow, rollout: Rollout) -> bool:
    """Whether anything but the reason's wording changed."""
    changed = row.status != rollout.status.value
    row.status, row.pause = rollout.status.value, rollout.pause.value
    row.reason, row.since = rollout.reason, rollout.since
    row.accepted_failures, row.stragglers = rollout.accepted_failures, rollout.stragglers
    row.accepted = dict(rollout.accepted)
    row.rollback_scope, row.failed_wave = rollout.rollback_scope.value, rollout.failed_wave
    row.started_at, row.resume_at = rollout.started_at, rollout.resume_at
    row.follows, row.settled, row.stopping = rollout.follows, rollout.settled, rollout.stopping
    row.bytes_free_at = rollout.bytes_free_at
    if rollout.status.terminal and row.ended_at is None:
        row.ended_at = rollout.since
    return changed


def wave_of(row: WaveRow) -> Wave:
    return Wave(
        index=row.index,
        name=row.name,
        bake_s=row.bake_s,
        pause_after=row.pause_after,
        size=row.size,
        tail=row.tail,
        status=WaveStatus(row.status),
        since=row.since,
        reason=row.reason,
        counts=Counts.from_json(row.counts),
        away=Counts.from_json(row.away),
        silent=row.silent,
        way_back=dict(row.way_back),
        judge=row.judge,
        why_counts=row.why_counts,
        looks=row.looks,
        extended=row.extended,
    )


def write_wave(row: WaveRow, wave: Wave) -> None:
    row.status, row.since, row.reason = wave.status.value, wave.since, wave.reason
    row.counts, row.away = dict(wave.counts.as_json()), dict(wave.away.as_json())
    row.silent, row.way_back = wave.silent, dict(wave.way_back)
    row.looks, row.extended = wave.looks, wave.extended


def execution_of(row: ExecutionRow | Any) -> DeviceExecution:
    """`row`: one of the ORM, or a tuple of EXECUTION_COLUMNS."""
    return DeviceExecution(
        device=row.device,
        wave=row.wave,
        state=Execution(row.state),
        step=row.step,
        reason=row.reason,
        reason_code=row.reason_code,
        since=row.since,
        attempt=row.attempt,
        offered_at=row.offered_at,
        clock_from=row.clock_from,
        away=row.away,
        from_version=row.from_version,
        from_index=row.from_index,
        committed=row.committed,
        returning=Return(row.returning),
        return_version=row.return_version,
        return_index=row.return_index,
        document=(row.document_epoch, row.document_counter),
        size_bytes=row.size_bytes,
        verify_from=row.verify_from,
        silent=row.silent,
        not_before=row.not_before,
        failed_as=row.failed_as,
        failed_under=row.failed_under,
    )


def write_execution(row: ExecutionRow, run: DeviceExecution) -> None:
    for name, value in execution_values(run).items():
        setattr(row, "returning" if name == _WAY_BACK else name, value)


def execution_values(run: DeviceExecution) -> dict[str, Any]:
    """By the names of the table's columns; without what a change leaves alone."""
    values = dict(zip(CHANGING, changing_values(run), strict=True))
    return {**values, "failed_under": dict(run.failed_under)}


CHANGING: Final = (
    "wave", "state", "step", "reason", "reason_code", "since", "attempt", "offered_at", "clock_from", "away",
    "from_version", "from_index", "committed", _WAY_BACK, "return_version", "return_index", "document_epoch",
    "document_counter", "silent", "verify_from", "not_before", "failed_as", "failed_under",
)  # fmt: skip
"""Columns that a change writes; not what an execution is of, and how much it fetches."""


def changing_values(run: DeviceExecution) -> tuple[Any, ...]:
    """In the order of CHANGING, as databases take them."""
    return (
        run.wave, run.state.value, run.step, run.reason[:2048], run.reason_code, run.since, run.attempt,
        run.offered_at, run.clock_from, run.away, run.from_version, run.from_index, run.committed,
        run.returning.value, run.return_version, run.return_index, *run.document, run.silent,
        run.verify_from, run.not_before, run.failed_as, as_text(dict(run.failed_under)),
    )  # fmt: skip


def decision_row(rollout: int, decision: Decision, *, at: float) -> DecisionRow:
    return DecisionRow(
        rollout=rollout,
        wave=decision.wave,
        at=at,
        kind=decision.kind,
        verdict=decision.verdict,
        sentence=decision.sentence,
        by=decision.by,
        inputs_sha256=decision.inputs_sha256,
        numbers=dict(decision.numbers),
    )
