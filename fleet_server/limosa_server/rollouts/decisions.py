"""Decisions and what they were made on: kept, and made once more (rollouts 5.6)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_server.core.judging.judge import Decision
from limosa_server.core.judging.replay import Record, replay
from limosa_server.core.judging.samples import INPUTS_MAX_BYTES
from limosa_server.rollouts.rollout_rows import decision_row
from limosa_server.rollouts.rollout_view import decision_json
from limosa_server.store import Transaction
from limosa_server.tables.judging import DecisionInputs
from limosa_server.tables.rollouts import DecisionRow, WaveRow


def keep_decision(tx: Transaction, rollout: int, decision: Decision, *, at: float) -> DecisionRow:
    """Writes a decision; where it was made on more than its numbers, that too."""
    row = decision_row(rollout, decision, at=at)
    tx.add(row)
    if decision.inputs:
        tx.flush()
        assert row.id is not None
        tx.add(DecisionInputs(decision=row.id, body=zlib.compress(decision.inputs, 6)))
    return row


def inputs_of(tx: Transaction, row: DecisionRow) -> bytes:
    """b"" where the numbers are all that it was made on."""
    kept = tx.get(DecisionInputs, row.id)
    if kept is None:
        return b""
    return zlib.decompressobj().decompress(kept.body, INPUTS_MAX_BYTES)


def decisions_of(tx: Transaction, rollout: int, *, after: int, limit: int) -> Sequence[DecisionRow]:
    """Those with a number above `after`, the oldest first."""
    return tx.exec(
        select(DecisionRow)
        .where(DecisionRow.rollout == rollout, col(DecisionRow.id) > after)
        .order_by(col(DecisionRow.id))
        .limit(limit)
    ).all()


def explained(tx: Transaction, row: DecisionRow) -> dict[str, JsonValue]:
    """A decision with what comes out when it is made once more from its record."""
    wave = tx.get(WaveRow, (row.rollout, row.wave)) if row.wave is not None else None
    record = Record(
        kind=row.kind,
        verdict=row.verdict,
        sentence=row.sentence,
        inputs_sha256=row.inputs_sha256,
        numbers=row.numbers,
        inputs=inputs_of(tx, row),
        wave_index=row.wave,
        wave=wave.name if wave is not None else "",
    )
    return {**decision_json(row), "replay": replay(record).as_json()}
