"""What windows say of challengers and of KPIs, where comparisons read it (telemetry 3.2, rollouts 6).

Give `on_reports` to `ServerState.report_handlers`. Few windows carry either; the others cost nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlmodel import SQLModel, col

from limosa_contracts.feedback import ACCURACY, Feedback
from limosa_contracts.window import Window
from limosa_server.state import Report
from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.modes import KpiWindowRow, ShadowWindowRow

COMPARED: Final = "shadow_compared"
COUNT_MAX: Final = 2**53
"""A device that says more lies; sums stay exact and fit every column."""
_KEY: Final = ("device", "boot", "window_index", "model_digest")


def on_reports(tx: Transaction, device: str, reports: Sequence[Report], now: float) -> None:
    """Of two windows with one key the higher rev holds, whatever their order."""
    windows = [report for report in reports if isinstance(report, Window)]
    _write(tx, ShadowWindowRow, _KEY, [row for one in windows for row in _shadow(one, now)])
    _write(tx, KpiWindowRow, (*_KEY, "kpi"), [row for one in windows for row in _kpis(one, now)])


def _write(
    tx: Transaction, table: type[SQLModel], key: tuple[str, ...], rows: Sequence[dict[str, Any]]
) -> None:
    newest: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(row[name] for name in key)
        if place not in newest or newest[place]["rev"] < row["rev"]:
            newest[place] = row
    if not newest:
        return
    statement = insert(tx, table)
    new = statement.excluded
    changing = [name for name in next(iter(newest.values())) if name not in key]
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(key),
            set_={name: new[name] for name in changing},
            where=col(table.rev) < new.rev,  # type: ignore[attr-defined]  # both tables have one
        ),
        list(newest.values()),
    )


def _place(window: Window, now: float) -> dict[str, Any]:
    return {
        "device": window.device,
        "boot": window.boot,
        "window_index": window.index,
        "model_digest": window.model_digest,
        "model": window.model,
        "version": window.version,
        "rev": window.rev,
        "received_at": now,
    }


def _shadow(window: Window, now: float) -> Iterator[dict[str, Any]]:
    compared = window.counters.get(COMPARED, 0)
    disagreed = window.counters.get("shadow_disagreed", 0)
    dropped = window.counters.get("shadow_dropped", 0)
    if COMPARED not in window.counters or not disagreed <= compared <= COUNT_MAX or dropped > COUNT_MAX:
        return
    yield {
        **_place(window, now),
        "compared": compared,
        "disagreed": disagreed,
        "dropped": dropped,
        "sketch": dict(window.shadow.as_json()) if window.shadow is not None else {},
    }


def _kpis(window: Window, now: float) -> Iterator[dict[str, Any]]:
    said = window.feedback
    if said is None:
        return
    for name, kpi in sorted(said.kpis.items()):
        if kpi.n <= COUNT_MAX:
            yield {
                **_place(window, now),
                "kpi": name,
                "n": kpi.n,
                "total": kpi.total,
                "squares": kpi.squares,
                "bins": {},
            }
    if 0 < sum(said.labelled) <= COUNT_MAX:
        yield {**_place(window, now), **_accuracy(said)}


def _accuracy(said: Feedback) -> dict[str, Any]:
    right = float(sum(said.correct))
    return {
        "kpi": ACCURACY,
        "n": sum(said.labelled),
        "total": right,
        "squares": right,
        "bins": {"labelled": list(said.labelled), "correct": list(said.correct)},
    }
