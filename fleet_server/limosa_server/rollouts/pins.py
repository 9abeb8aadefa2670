"""Pins: a device that no rollout touches, by name, with a reason and an end (rollouts 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import col, delete, or_, select

from limosa_contracts.errors import NotFound
from limosa_contracts.nearest import did_you_mean
from limosa_contracts.phases import Execution
from limosa_server.access.scope import Scope
from limosa_server.core.execution import ExecutionEvent
from limosa_server.core.planning.wording import when
from limosa_server.rollouts.executions import save
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.store import Transaction
from limosa_server.tables.planning import PinRow
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow

EVERY_MODEL: Final = ""
CODE: Final = "pinned"


def pin(
    tx: Transaction, device: str, *, model: str, reason: str, until: float | None, now: float, by: str
) -> PinRow:
    """Pins it (again). Offers of running rollouts that have not reached it are withdrawn; what it was
    offered before goes on. `model` EVERY_MODEL is every model."""
    row = tx.get(PinRow, (device, model)) or PinRow(device=device, model=model, reason="", since=now, by=by)
    row.reason, row.until, row.by = reason, until, by
    tx.add(row)
    tx.flush()
    _withdraw(tx, device, model, words(row), now)
    tx.announce("devices", f"device {device}")
    return row


def check_there(tx: Transaction, model: str, visible: ColumnElement[bool]) -> None:
    """Raises NotFound for a model without a release, with the name that is nearest: such a pin would hold
    nothing, and who made it would believe that it does. `visible`: which releases the caller sees."""
    if tx.exec(select(Release.id).where(col(Release.model) == model, visible).limit(1)).first() is not None:
        return
    known = tx.exec(select(Release.model).where(visible).distinct()).all()
    raise NotFound(
        f"no release of {model!r} is there",
        where="pin.model",
        hint=did_you_mean(model, known, otherwise="limosa release list"),
    )


def unpin(tx: Transaction, device: str, *, model: str) -> bool:
    """Whether it was pinned."""
    gone = tx.connection().execute(
        delete(PinRow).where(col(PinRow.device) == device, col(PinRow.model) == model)
    )
    if gone.rowcount:
        tx.announce("devices", f"device {device}")
    return gone.rowcount > 0


def of_device(tx: Transaction, device: str) -> Sequence[PinRow]:
    """Those that have ended too, until somebody takes them away."""
    return tx.exec(select(PinRow).where(PinRow.device == device).order_by(col(PinRow.model))).all()


def shown(tx: Transaction, device: str, *, scope: Scope, now: float) -> list[tuple[str, str]]:
    """(model, why) of the pins that hold, as far as the scope sees them; "every model" for all."""
    return [
        (row.model or "every model", words(row))
        for row in of_device(tx, device)
        if (row.until is None or row.until > now) and (not row.model or scope.sees_model(row.model))
    ]


def standing(tx: Transaction, model: str, *, now: float) -> dict[str, str]:
    """device -> why it is left alone, for this model."""
    rows = tx.exec(
        select(PinRow)
        .where(
            col(PinRow.model).in_((model, EVERY_MODEL)),
            or_(col(PinRow.until).is_(None), col(PinRow.until) > now),
        )
        .order_by(col(PinRow.device), col(PinRow.model))
    ).all()
    return {row.device: words(row) for row in rows}


def words(row: PinRow) -> str:
    """
    >>> words(PinRow(device="d", model="", reason="demo unit", since=0, until=86400.0, by="eva"))
    'demo unit (by eva, until 1970-01-02 00:00 UTC)'
    """
    until = "" if row.until is None else f", until {when(row.until)}"
    return f"{row.reason} (by {row.by}{until})"


def _withdraw(tx: Transaction, device: str, model: str, why: str, now: float) -> None:
    """Executions that wait in a queue end here: the device was never told of them."""
    query = (
        select(ExecutionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(ExecutionRow.rollout))
        .where(ExecutionRow.device == device, ExecutionRow.state == Execution.QUEUED.value)
    )
    if model:
        query = query.where(RolloutRow.model == model)
    for row, _ in tx.exec(query).all():
        before = execution_of(row)
        after = before.after(ExecutionEvent.CANCEL, now=now, step="canceled", reason=why, code=CODE)
        save(tx, row, before, after)
