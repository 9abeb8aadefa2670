"""Raw windows are added to device-days and cohort-hours, each once (server 2.4, telemetry 3.2).

A window counts when it was not sent again for an hour. One that is revised after that makes its day and
its hour be added up again from the raw rows, as long as those are there. A window whose device had no
clock counts at the time it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, tuple_, update
from sqlmodel import SQLModel, col, select

from limosa_contracts.errors import LimosaError
from limosa_contracts.window import COMPARED, Sketch, Window, empty_sketch, pack, unpack
from limosa_server.retention.merging import Totals, believable
from limosa_server.store import Transaction
from limosa_server.store.table_of import table_of
from limosa_server.store.upsert import insert
from limosa_server.tables.reports import WindowRow
from limosa_server.tables.retention import CohortHour, DeviceDay, RetentionMark

MERGED: Final = "windows merged"
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
CLOCK_RIGHT_FROM: Final = 1_577_836_800.0  # 2020: a device that says less has no clock
CLOCK_AHEAD_MAX_S: Final = DAY_S
NOTHING: Final = pack(empty_sketch(bins=(), classes=0))


@dataclass(frozen=True, slots=True)
class _Tier:
    """A table of sums, and the columns that name one of them."""

    table: type[SQLModel]
    names: tuple[str, ...]

    def key(self, row: WindowRow) -> tuple[object, ...]:
        at = time_of(row)
        found = {"day": int(at // DAY_S), "hour": int(at // HOUR_S)}
        return tuple(found[name] if name in found else getattr(row, name) for name in self.names)


DAYS: Final = _Tier(DeviceDay, ("device", "day", "model_digest", "baseline"))
HOURS: Final = _Tier(CohortHour, ("model", "hour", "model_digest", "baseline"))


def time_of(row: WindowRow) -> float:
    """Unix seconds: when the window began by its device's clock, or when it came."""
    has_clock = CLOCK_RIGHT_FROM <= row.started_at <= row.received_at + CLOCK_AHEAD_MAX_S
    return row.started_at if has_clock else row.received_at


def merge_due(tx: Transaction, *, upto: float, limit: int) -> int:
    """Adds the next windows that came before `upto`; how many there were."""
    mark = tx.get(RetentionMark, MERGED) or RetentionMark(name=MERGED, at=0.0, row=0, removed=0)
    place = tuple_(col(WindowRow.received_at), col(WindowRow.id))
    query = (
        select(WindowRow)
        .where(place > tuple_(mark.at, mark.row), col(WindowRow.received_at) < upto)
        .order_by(col(WindowRow.received_at), col(WindowRow.id))
        .limit(limit)
    )
    rows = tx.exec(query).all()
    if not rows:
        if upto - mark.at > HOUR_S:  # also where nothing comes any more the old is known to be merged
            mark.at, mark.row = upto, 0
            tx.add(mark)
        return 0
    mark.at, mark.row = rows[-1].received_at, rows[-1].id or 0
    tx.add(mark)
    new = [row for row in rows if row.counted_rev == 0]
    revised = [row for row in rows if 0 < row.counted_rev < row.rev]
    _mark_counted(tx, [*new, *revised])
    for tier in (DAYS, HOURS):
        again = {tier.key(row) for row in revised}
        _add(tx, tier, [row for row in new if tier.key(row) not in again])
        for key in sorted(again, key=repr):
            _sum_again(tx, tier, key)
    tx.expunge_all()
    return len(rows)


def _mark_counted(tx: Transaction, rows: Sequence[WindowRow]) -> None:
    if rows:
        table = table_of(WindowRow)
        tx.connection().execute(
            update(table).where(table.c.id == bindparam("of")).values(counted_rev=bindparam("to")),
            [{"of": row.id, "to": row.rev} for row in rows],
        )


def _add(tx: Transaction, tier: _Tier, rows: Iterable[WindowRow]) -> None:
    sums: dict[tuple[object, ...], Totals] = {}
    versions: dict[tuple[object, ...], tuple[str, str]] = {}
    for row in rows:
        totals = _totals(row)
        if totals is not None:
            key = tier.key(row)
            sums[key] = sums[key].plus(totals) if key in sums else totals
            versions[key] = (row.model, row.version)
    if not sums:
        return
    place = tuple_(*(getattr(tier.table, name) for name in tier.names))
    for known in tx.exec(select(tier.table).where(place.in_(list(sums)))):
        key = tuple(getattr(known, name) for name in tier.names)
        sums[key] = sums[key].plus(_kept(known))
    _write(tx, tier, [_values(tier, key, totals, versions[key]) for key, totals in sums.items()])


def _sum_again(tx: Transaction, tier: _Tier, key: tuple[object, ...]) -> None:
    """From every raw row that counts: a few hundred of a device, one hour of a cohort."""
    named = dict(zip(tier.names, key, strict=True))
    span = HOUR_S if "hour" in named else DAY_S
    start = float(str(named.pop("hour", named.pop("day", 0)))) * span
    query = select(WindowRow).where(
        col(WindowRow.started_at) >= start,
        col(WindowRow.started_at) < start + span,
        col(WindowRow.counted_rev) > 0,
        *(getattr(WindowRow, name) == value for name, value in named.items()),
    )
    total: Totals | None = None
    about = ("", "")
    for row in tx.exec(query):
        totals = _totals(row)
        if totals is not None and tier.key(row) == key:
            total, about = (total.plus(totals) if total else totals), (row.model, row.version)
    if total is not None:
        _write(tx, tier, [_values(tier, key, total, about)])


def _totals(row: WindowRow) -> Totals | None:
    if COMPARED in row.counters:
        return None  # a challenger's: the tiers are sums of what served
    try:
        window = Window.parse(row.body)
    except LimosaError:
        return None  # refused today, taken by an older server: its row stays as long as it is kept
    return Totals.of(window) if believable(window) else None


def _kept(known: Any) -> Totals:
    sketch: Sketch = unpack(known.sketch)
    return Totals(
        windows=known.windows,
        n=known.n,
        length_s=known.length_s,
        counters=known.counters,
        sketch=None if known.sketch == NOTHING else sketch,
    )


def _values(
    tier: _Tier, key: tuple[object, ...], totals: Totals, about: tuple[str, str]
) -> dict[str, object]:
    return {
        "model": about[0],
        "version": about[1],
        **dict(zip(tier.names, key, strict=True)),
        "windows": totals.windows,
        "n": totals.n,
        "length_s": totals.length_s,
        "counters": dict(totals.counters),
        "sketch": NOTHING if totals.sketch is None else pack(totals.sketch),
    }


def _write(tx: Transaction, tier: _Tier, rows: list[dict[str, object]]) -> None:
    statement = insert(tx, tier.table)
    changing = [name for name in rows[0] if name not in tier.names]
    tx.connection().execute(
        statement.on_conflict_do_update(
            index_elements=list(tier.names),
            set_={name: statement.excluded[name] for name in changing},
        ),
        rows,
    )
