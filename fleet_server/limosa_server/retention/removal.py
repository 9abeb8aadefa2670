"""Rows that are past their time go, a span of time in each transaction, so that reports never wait long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func
from sqlmodel import SQLModel, col, select

from limosa_contracts.phases import Phase
from limosa_server.retention.settings import DAY_S, RetentionSettings
from limosa_server.retention.tiers import MERGED
from limosa_server.store import Store, Transaction
from limosa_server.tables.modes import KpiWindowRow, ShadowWindowRow
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from limosa_server.tables.retention import DeviceDay, RetentionMark
from limosa_server.tables.rollouts import RolloutRow

COMPACTED: Final = "rollouts compacted"
PROGRESS: Final = tuple(phase.value for phase in Phase if not phase.terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kind of row that is kept for some days; `at` is its time in units of `unit_s` seconds."""

    name: str
    table: type[SQLModel]
    at: Any
    days: float
    unit_s: float = 1.0
    merged: bool = False  # only what the tiers have


def kinds(settings: RetentionSettings) -> Sequence[Kept]:
    return (
        Kept(name="windows", table=WindowRow, at=col(WindowRow.received_at), days=settings.windows_days,
             merged=True),
        Kept(name="shadow windows", table=ShadowWindowRow, at=col(ShadowWindowRow.received_at),
             days=settings.windows_days),
        Kept(name="KPI windows", table=KpiWindowRow, at=col(KpiWindowRow.received_at),
             days=settings.windows_days),
        Kept(name="device-days", table=DeviceDay, at=col(DeviceDay.day), days=settings.device_days_days,
             unit_s=DAY_S),
        Kept(name="events", table=EventRow, at=col(EventRow.received_at), days=settings.events_days),
        Kept(name="refused reports", table=RefusedReport, at=col(RefusedReport.last_at),
             days=settings.refused_days),
    )  # fmt: skip


def oldest(tx: Transaction, kind: Kept) -> float | None:
    """Unix seconds of the oldest row, from the index."""
    found = tx.exec(select(func.min(kind.at))).one()
    return None if found is None else float(found) * kind.unit_s


def remove_span(store: Store, kind: Kept, *, now: float, span_s: float) -> int | None:
    """The oldest rows that are past their time, of `span_s` seconds; None if there are none."""
    with store.read() as tx:
        first = oldest(tx, kind)
        before = now - kind.days * DAY_S
        if kind.merged:
            mark = tx.get(RetentionMark, MERGED)
            before = min(before, mark.at if mark else 0.0)
    if first is None or first >= before:
        return None
    upto = min(before, first + max(span_s, kind.unit_s))
    with store.transaction() as tx:
        gone = tx.connection().execute(delete(kind.table).where(kind.at < upto / kind.unit_s)).rowcount
        _note(tx, kind.name, at=upto, gone=gone)
    return gone or None


def compact_rollouts(store: Store, *, days: float, now: float) -> int:
    """Of the next rollout that ended long ago: how its devices got there is forgotten, where they ended
    stays, in its executions and in their last events."""
    with store.transaction() as tx:
        mark = tx.get(RetentionMark, COMPACTED)
        ended = col(RolloutRow.ended_at)
        query = (
            select(RolloutRow.id, RolloutRow.ended_at)
            .where(ended > (mark.at if mark else 0.0), ended < now - days * DAY_S)
            .order_by(ended)
            .limit(1)
        )
        found = tx.exec(query).first()
        if found is None:
            return 0
        rollout, at = found
        gone = (
            tx.connection()
            .execute(
                delete(EventRow).where(
                    col(EventRow.rollout) == str(rollout), col(EventRow.phase).in_(PROGRESS)
                )
            )
            .rowcount
        )
        _note(tx, COMPACTED, at=at or 0.0, gone=gone)
    return 1


def _note(tx: Transaction, name: str, *, at: float, gone: int) -> None:
    mark = tx.get(RetentionMark, name) or RetentionMark(name=name, at=0.0, row=0, removed=0)
    mark.at, mark.removed = at, mark.removed + gone
    tx.add(mark)
