"""Whose a challenger's window is: the rollout in whose shadow it was measured, and no other (rollouts 6).

A release may be in the shadow twice, and a device may have been away meanwhile. A window that comes belongs
for good to the rollout that holds its lane then, if it was measured since that began; or to none. That
stands in its sketch, as "rollout".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import select as select_columns
from sqlalchemy import tuple_
from sqlmodel import col

from limosa_contracts.window import Window
from limosa_server.rollouts.window_times import began_at
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.modes import ShadowAssignmentRow, ShadowWindowRow
from limosa_server.tables.rollouts import RolloutRow

ROLLOUT: Final = "rollout"
Place: TypeAlias = tuple[str, str, int, str]
"""device, boot, number of the window, digest of the model: the key of a row."""
_Lanes: TypeAlias = Mapping[tuple[str, str, str], tuple[int, float]]


def sketches(tx: Transaction, windows: Sequence[Window], *, now: float) -> list[dict[str, Any]]:
    """What is to be kept as the sketch of each: with its rollout, or {} where it has none."""
    lanes = _lanes(tx, sorted({one.device for one in windows}))
    known = _known(tx, sorted({_place(one) for one in windows}))
    made = []
    for window in windows:
        rollout, since = lanes.get((window.device, window.model, window.version), (0, 0.0))
        before = known.get(_place(window))
        if before is not None and before.get(ROLLOUT) != (rollout or None):
            made.append(before)  # it goes on in the next shadow of the same release, or after its end
        elif not rollout or (before is None and _measured_at(window, now) < since):
            made.append({})
        else:
            said = {} if window.shadow is None else window.shadow.as_json()
            made.append({ROLLOUT: rollout, **said})
    return made


def counted_for(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The rollout for which each row counts, 0 for none: what comes after its end counts for nothing."""
    lanes = _lanes(tx, sorted({row["device"] for row in rows}))
    holding = [lanes.get((row["device"], row["model"], row["version"]), (0, 0.0))[0] for row in rows]
    return [
        rollout if row["sketch"].get(ROLLOUT) == rollout else 0
        for row, rollout in zip(rows, holding, strict=True)
    ]


def _measured_at(window: Window, now: float) -> float:
    """Its middle: a clock that is a little off takes no device's first window away. Of a device that has no
    clock it is when it came."""
    if window.clock == "none":
        return now
    return began_at(window.started_at, window.length_s, now) + window.length_s / 2


def _place(window: Window) -> Place:
    return window.device, window.boot, window.index, window.model_digest


def _lanes(tx: Transaction, devices: Sequence[str]) -> _Lanes:
    """(device, model, version) -> the rollout that holds the lane, and when that began."""
    return {
        (device, model, version): (rollout, began or 0.0)
        for some in in_rounds(devices)
        for device, model, version, rollout, began in tx.execute(
            select_columns(
                col(ShadowAssignmentRow.device),
                col(ShadowAssignmentRow.model),
                col(ShadowAssignmentRow.version),
                col(ShadowAssignmentRow.rollout),
                col(RolloutRow.started_at),
            )
            .join(RolloutRow, col(RolloutRow.id) == col(ShadowAssignmentRow.rollout))
            .where(col(ShadowAssignmentRow.device).in_(some))
        ).all()
    }


def _known(tx: Transaction, places: Sequence[Place]) -> Mapping[Place, dict[str, Any]]:
    key = (
        col(ShadowWindowRow.device),
        col(ShadowWindowRow.boot),
        col(ShadowWindowRow.window_index),
        col(ShadowWindowRow.model_digest),
    )
    return {
        (device, boot, index, digest): sketch or {}
        for some in in_rounds(places)
        for device, boot, index, digest, sketch in tx.execute(
            select_columns(*key, col(ShadowWindowRow.sketch)).where(tuple_(*key).in_(some))
        ).all()
    }
