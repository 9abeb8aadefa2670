"""A rollout as the API and the pages show it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from sqlmodel import col, select

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_server.core.approval import missing
from limosa_server.core.counts import Counts
from limosa_server.core.judging.explain import what_next
from limosa_server.core.overdue import overdue
from limosa_server.core.rollout import Rollout
from limosa_server.core.wave import Wave
from limosa_server.rollouts.findings import finding_of
from limosa_server.rollouts.outer_facts import votes
from limosa_server.rollouts.rollout_rows import rollout_of, wave_of
from limosa_server.rollouts.waiting_for import waits_for
from limosa_server.store import Transaction
from limosa_server.tables.planning import FindingRow
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow


def rollout_json(tx: Transaction, row: RolloutRow, *, now: float) -> dict[str, JsonValue]:
    """Counters, reason and what happens next; its devices and decisions are resources of their own."""
    waves = [
        wave_of(one)
        for one in tx.exec(
            select(WaveRow).where(WaveRow.rollout == row.id).order_by(col(WaveRow.index))
        ).all()
    ]
    rollout = rollout_of(row)
    totals = sum((wave.counts for wave in waves), Counts())
    away, returning = _overlays(waves)
    return {
        "id": row.id,
        "release": f"{row.model}@{row.version}",
        "target": row.target,
        "status": row.status,
        "pause": row.pause,
        "reason": row.reason,
        "since": row.since,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "ended_at": row.ended_at,
        "stragglers": row.stragglers,
        "starts_at": rollout.spec.schedule.start,
        "started_at": row.started_at,
        "resume_at": row.resume_at,
        "priority": row.priority,
        "follows": row.follows,
        "settled": row.settled,
        "approvals": _approvals(tx, rollout),
        "waits_too_long": overdue(rollout, waves, now=now),
        "waits_for": [one.as_json() for one in waits_for(tx, row, waves)],
        "next": what_next(rollout, waves, now=now),
        "failing": row.failing_reason,
        "counts": totals.as_json(),
        "devices": totals.total,
        "executed": totals.executed,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "unreachable": away,
        "returning": returning,
        "finding": _finding(tx, row),
        "waves": [wave_json(wave) for wave in waves],
        "spec": row.spec,
    }


def _approvals(tx: Transaction, rollout: Rollout) -> JsonValue:
    """What people said; null where nobody is asked."""
    if rollout.spec.approval is None:
        return None
    said = votes(tx, rollout.id)
    return {
        "missing": missing(rollout, said),
        "said": [
            {"by": vote.actor, "approves": vote.approves, "remark": vote.remark, "at": vote.at}
            for vote in said
        ],
    }


def wave_json(wave: Wave) -> dict[str, JsonValue]:
    return {
        "index": wave.index,
        "name": wave.name,
        "tail": wave.tail,
        "status": wave.status.value,
        "since": wave.since,
        "reason": wave.reason,
        "bake_s": wave.bake_s,
        "devices": wave.counts.total,
        "executed": wave.counts.executed,
        "succeeded": wave.counts.succeeded,
        "failed": wave.counts.failed,
        "counts": wave.counts.as_json(),
        "judge": wave.judge,
        "why_counts": wave.why_counts,
        "looks": wave.looks,
        "extended": wave.extended,
    }


def _overlays(waves: Sequence[Wave]) -> tuple[int, dict[str, JsonValue]]:
    """Open executions of devices that are away, and how many are where on their way back."""
    back: Counter[str] = Counter()
    for wave in waves:
        back.update(wave.way_back)
    return sum(wave.away.total for wave in waves), dict(sorted(back.items()))


def _finding(tx: Transaction, row: RolloutRow) -> JsonValue:
    """What its failures have in common; null while nothing has failed."""
    known = tx.get(FindingRow, row.id)
    if known is None:
        return None
    return {**finding_of(known).as_json(), "reasons": known.reasons, "p": known.p, "at": known.at}


def execution_json(row: ExecutionRow) -> dict[str, JsonValue]:
    return {
        "device": row.device,
        "wave": row.wave,
        "state": row.state,
        "step": row.step,
        "reason": row.reason,
        "reason_code": row.reason_code,
        "since": row.since,
        "attempt": row.attempt,
        "offered_at": row.offered_at,
        "unreachable": row.away,
        "from_version": row.from_version,
        "returning": row.returning,
        "return_version": row.return_version,
    }


def decision_json(row: DecisionRow) -> dict[str, JsonValue]:
    return {
        "id": row.id,
        "at": row.at,
        "wave": row.wave,
        "kind": row.kind,
        "verdict": row.verdict,
        "sentence": row.sentence,
        "by": row.by,
        "inputs_sha256": row.inputs_sha256,
        "numbers": row.numbers,
    }


def etag_of(row: RolloutRow) -> str:
    """Of what an operator's decision depends on: the state, its reason and since when."""
    about = encode_canonical([row.id, row.status, row.pause, row.since, row.accepted_failures])
    return f'"{hashlib.sha256(about).hexdigest()[:24]}"'
