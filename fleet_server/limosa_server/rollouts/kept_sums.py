"""Sums that rows keep and reports add to: whole numbers of them stay within their column.

PostgreSQL refuses a sum beyond 63 bits, and with it the whole batch, each time that its device sends it
again; SQLite makes a float of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import Integer, and_, case
from sqlmodel import SQLModel

from limosa_server.store import Transaction
from limosa_server.store.upsert import insert

SUM_MAX: Final = 2**62
"""However many windows liars send; sums stay here then, or at its negative."""
Row: TypeAlias = Mapping[str, Any]
Amount = TypeVar("Amount", int, float)


def add_up(
    tx: Transaction, table: type[SQLModel], key: Sequence[str], rows: Sequence[Row], amounts: Sequence[str]
) -> None:
    """Adds the `amounts` of `rows`, each within SUM_MAX, to those of the row with the same `key`."""
    total: dict[tuple[object, ...], Row] = {}
    for row in rows:
        place = tuple(row[name] for name in key)
        have = total.get(place)
        total[place] = row if have is None else {**row, **{n: _held(have[n] + row[n]) for n in amounts}}
    if not total:
        return
    statement = insert(tx, table)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=list(key),
            set_={name: _sum(getattr(table, name), statement.excluded[name]) for name in amounts},
        ),
        list(total.values()),
    )


def _held(amount: Amount) -> Amount:
    return max(-SUM_MAX, min(SUM_MAX, amount)) if isinstance(amount, int) else amount


def _sum(kept: Any, new: Any) -> Any:
    """No step on the way is more than a column holds."""
    if not isinstance(kept.type, Integer):
        return kept + new
    return case(
        (and_(new > 0, kept > SUM_MAX - new), SUM_MAX),
        (and_(new < 0, kept < -SUM_MAX - new), -SUM_MAX),
        else_=kept + new,
    )
