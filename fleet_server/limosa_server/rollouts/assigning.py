"""Gives devices what they shall run of one model, many at once; the director tells them (rollouts 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import delete
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_server.core.rollout import Rollout
from limosa_server.rollouts.taking_over import outranks
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.store.upsert import insert
from limosa_server.tables.rollouts import AssignmentRow

Wanted: TypeAlias = tuple[str, str]
"""(version, index digest); "" takes the model out of the document."""


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
        _write(
            tx,
            [
                {"device": device, **_values(rollout, wanted[device], attempts.get(device, 1), now)}
                for device in mine
                if wanted[device][0]
            ],
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


def _values(rollout: Rollout, wanted: Wanted, attempt: int, now: float) -> dict[str, Any]:
    version, index_sha256 = wanted
    # The way back is an attempt of its own, so that its events are not taken for the release's.
    going_back = index_sha256 != rollout.index_sha256
    windows = rollout.spec.schedule.windows
    return {
        "model": str(rollout.spec.release.name),
        "version": version,
        "index_sha256": index_sha256,
        "rollout": str(rollout.id),
        "attempt": attempt + going_back,
        "trial": dict(rollout.spec.trial.as_json()),
        # A device that shall go back is not left with a bad release until its next window.
        "windows": {} if windows is None or going_back else dict(windows.as_json()),
        "report_every_s": rollout.spec.report_every_s,
        "report_every_in_probation_s": rollout.spec.report_every_in_probation_s,
        "updated_at": now,
    }


def _write(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(tx, AssignmentRow)
    changing = [name for name in rows[0] if name not in ("device", "model")]
    tx.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["device", "model"],
            set_={name: statement.excluded[name] for name in changing},
        ),
        rows,
    )
