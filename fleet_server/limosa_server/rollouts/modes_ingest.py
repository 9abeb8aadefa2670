"""What windows say of challengers and of KPIs, where comparisons read it (telemetry 3.2, rollouts 6).

Give `on_reports` to `ServerState.report_handlers`. Few windows carry either; the others cost nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import select as select_columns
from sqlalchemy import tuple_
from sqlmodel import SQLModel, col

from limosa_contracts.feedback import ACCURACY, Feedback
from limosa_contracts.window import COMPARED, Window
from limosa_server.core.modes.arms import CHAMPION
from limosa_server.core.rollout import RolloutStatus
from limosa_server.rollouts import shadow_windows
from limosa_server.rollouts.kept_sums import add_up
from limosa_server.rollouts.modes_facts import held_since
from limosa_server.state import News
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.store.upsert import insert
from limosa_server.tables.modes import (
    ArmKpiRow,
    ArmRow,
    DeviceKpiRow,
    KpiWindowRow,
    ShadowCountRow,
    ShadowWindowRow,
)
from limosa_server.tables.rollouts import RolloutRow

COUNT_MAX: Final = 2**53
"""A device that says more in one window lies; its window adds nothing."""
HOLDING: Final = (RolloutStatus.RUNNING.value, RolloutStatus.PAUSED.value)
Row: TypeAlias = dict[str, Any]
Names: TypeAlias = tuple[str, ...]
_ROWS: Final = ("compared", "disagreed", "dropped")
_SUMS: Final = ("n", "total", "squares")
_KEY: Final = ("device", "boot", "window_index", "model_digest")


def on_reports(tx: Transaction, news: News, now: float) -> None:
    """Of two windows with one key the higher rev holds, whatever their order; sums grow by what is new."""
    windows = [report for reports in news.values() for report in reports if isinstance(report, Window)]
    if not windows:
        return
    compared = [window for window in windows if _can_be(window)]
    if compared:
        said = [
            _shadow(window, sketch, now)
            for window, sketch in zip(compared, shadow_windows.sketches(tx, compared, now=now), strict=True)
        ]
        shadows = _write(tx, ShadowWindowRow, _KEY, said, _ROWS)
        _count_shadows(tx, shadows)
    kpis = _write(
        tx, KpiWindowRow, (*_KEY, "kpi"), [row for one in windows for row in _kpis(one, now)], _SUMS
    )
    if kpis:
        named = ("device", "model", "version", "kpi")
        add_up(
            tx, DeviceKpiRow, named, [{name: row[name] for name in (*named, *_SUMS)} for row in kpis], _SUMS
        )
        _count_arms(tx, kpis)


def _write(
    tx: Transaction,
    table: type[SQLModel],
    key: Names,
    rows: Sequence[Row],
    amounts: Names,
) -> list[Row]:
    """What came by it: the rows whose rev is new, with their amounts less what was there."""
    newest: dict[tuple[object, ...], Row] = {}
    for row in rows:
        place = tuple(row[name] for name in key)
        if place not in newest or newest[place]["rev"] < row["rev"]:
            newest[place] = row
    if not newest:
        return []
    columns = [getattr(table, name) for name in key]
    known = {
        tuple(found[: len(key)]): found[len(key) :]
        for some in in_rounds(list(newest))
        for found in tx.execute(
            select_columns(*columns, table.rev, *(getattr(table, name) for name in amounts)).where(  # type: ignore[attr-defined]  # both tables have one
                tuple_(*columns).in_(some)
            )
        ).all()
    }
    fresh = {
        place: row for place, row in newest.items() if place not in known or known[place][0] < row["rev"]
    }
    if not fresh:
        return []
    statement = insert(tx, table)
    changing = [name for name in next(iter(fresh.values())) if name not in key]
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_={name: statement.excluded[name] for name in changing}
        ),
        list(fresh.values()),
    )
    return [
        _less(row, dict(zip(amounts, known[place][1:], strict=True)) if place in known else {})
        for place, row in fresh.items()
    ]


def _less(row: Row, before: Row) -> Row:
    return {**row, **{name: row[name] - amount for name, amount in before.items()}}


def _count_shadows(tx: Transaction, rows: Sequence[Row]) -> None:
    """For the rollout that holds the lane; what comes after its end counts for nothing."""
    counted = [
        {"rollout": rollout, "device": row["device"], **{n: row[n] for n in _ROWS}}
        for row, rollout in zip(rows, shadow_windows.counted_for(tx, rows), strict=True)
        if rollout
    ]
    add_up(tx, ShadowCountRow, ("rollout", "device"), counted, _ROWS)


def _runs(row: Row) -> tuple[str, str, str]:
    return row["device"], row["model"], row["version"]


def _count_arms(tx: Transaction, rows: Sequence[Row]) -> None:
    """For comparisons that hold both releases, where a device runs what its arm runs."""
    since: dict[int, float | None] = {}
    by_device: dict[str, list[Row]] = {}
    for row in rows:
        by_device.setdefault(row["device"], []).append(row)
    arms = [arm for some in in_rounds(sorted(by_device)) for arm in _arms(tx, some)]
    counted: list[Row] = []
    for rollout, device, arm, old, model, new in arms:
        if rollout not in since:
            since[rollout] = held_since(tx, rollout)
        if since[rollout] is None:
            continue
        wanted = (device, model, old if arm == CHAMPION else new)
        counted += [
            {"rollout": rollout, "kpi": row["kpi"], "device": device, **{n: row[n] for n in _SUMS}}
            for row in by_device[device]
            if _runs(row) == wanted
        ]
    add_up(tx, ArmKpiRow, ("rollout", "kpi", "device"), counted, _SUMS)


def _arms(tx: Transaction, devices: Sequence[str]) -> Sequence[Any]:
    """(rollout, device, arm, version it began with, model, new version) of comparisons that are held."""
    return tx.execute(
        select_columns(
            col(ArmRow.rollout),
            col(ArmRow.device),
            col(ArmRow.arm),
            col(ArmRow.version),
            col(RolloutRow.model),
            col(RolloutRow.version),
        )
        .join(RolloutRow, col(RolloutRow.id) == col(ArmRow.rollout))
        .where(col(ArmRow.device).in_(devices), col(RolloutRow.status).in_(HOLDING))
        .order_by(col(ArmRow.rollout), col(ArmRow.device))
    ).all()


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


def _can_be(window: Window) -> bool:
    """It is of a challenger, and what it counts can be."""
    compared = window.counters.get(COMPARED, 0)
    disagreed = window.counters.get("shadow_disagreed", 0)
    return (
        window.of_challenger
        and disagreed <= compared <= COUNT_MAX
        and window.counters.get("shadow_dropped", 0) <= COUNT_MAX
    )


def _shadow(window: Window, sketch: dict[str, Any], now: float) -> dict[str, Any]:
    return {
        **_place(window, now),
        "compared": window.counters[COMPARED],
        "disagreed": window.counters.get("shadow_disagreed", 0),
        "dropped": window.counters.get("shadow_dropped", 0),
        "sketch": sketch,
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
