"""Gives devices what they shall run of one model, many at once; the director tells them (rollouts 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import delete
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_server.core.rollout import Rollout
from limosa_server.rollouts.taking_over import outranks
from limosa_server.store import Transaction
from limosa_server.store.bulk import Upsert, as_text
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.rollouts import AssignmentRow

Wanted: TypeAlias = tuple[str, str]
"""(version, index digest); "" takes the model out of the document."""
_COLUMNS: Final = (
    "device", "model", "version", "index_sha256", "rollout", "attempt", "trial", "windows", "report_every_s",
    "report_every_in_probation_s", "updated_at",
)  # fmt: skip


def assign(
    tx: Transaction,
    rollout: Rollout,
    model: str,
    wanted: Mapping[str, Wanted],
    *,
    attempts: Mapping[str, int],
    now: float,
) -> list[str]:
    """The devices that are to be told, sorted: all but those that another rollout has taken over."""
    told: list[str] = []
    for some in in_rounds(sorted(wanted)):
        mine = _not_taken(tx, rollout, model, some)
        gone = [device for device in mine if not wanted[device][0]]
        if gone:
            tx.connection().execute(
                delete(AssignmentRow).where(
                    col(AssignmentRow.model) == model, col(AssignmentRow.device).in_(gone)
                )
            )
        there = [device for device in mine if wanted[device][0]]
        Upsert.of(tx, AssignmentRow, _COLUMNS, key=("device", "model")).put(
            tx, _rows(rollout, wanted, attempts, there, now)
        )
        told += mine
    return told


def _not_taken(tx: Transaction, rollout: Rollout, model: str, devices: Sequence[str]) -> list[str]:
    tx.flush()
    row = AssignmentRow
    query = select_columns(col(row.device), col(row.rollout)).where(
        col(row.model) == model, col(row.device).in_(devices)
    )
    holders: dict[str, str] = {row.device: row.rollout for row in tx.execute(query)}
    above = {holder for holder in set(holders.values()) if outranks(tx, holder, rollout)}
    return [device for device in devices if holders.get(device) not in above]


def _rows(
    rollout: Rollout,
    wanted: Mapping[str, Wanted],
    attempts: Mapping[str, int],
    devices: Sequence[str],
    now: float,
) -> list[tuple[Any, ...]]:
    """In the order of _COLUMNS."""
    spec = rollout.spec
    model, number, trial = str(spec.release.name), str(rollout.id), as_text(dict(spec.trial.as_json()))
    windows = as_text(dict(spec.schedule.windows.as_json())) if spec.schedule.windows is not None else "{}"
    rows: list[tuple[Any, ...]] = []
    for device in devices:
        version, index_sha256 = wanted[device]
        # The way back is an attempt of its own, so that its events are not taken for the release's.
        going_back = index_sha256 != rollout.index_sha256
        rows.append(
            (
                device, model, version, index_sha256, number, attempts.get(device, 1) + going_back, trial,
                # A device that shall go back is not left with a bad release until its next window.
                "{}" if going_back else windows,
                spec.report_every_s, spec.report_every_in_probation_s, now,
            )
        )  # fmt: skip
    return rows
