"""INSERT … ON CONFLICT, in the words of whichever database there is.

from limosa_server.store.upsert import insert

statement = insert(tx, InboxMark)
tx.execute(
    statement.on_conflict_do_update(
        index_elements=["device", "session"],
        set_={"mark": statement.excluded.mark},
        where=col(InboxMark.mark) < statement.excluded.mark,
    ),
    rows,                                   # a list of dicts: one round trip
)
added = tx.connection().execute(insert(tx, Event).values(…).on_conflict_do_nothing()).rowcount
"""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from limosa_server.store.transaction import Transaction

Insert: TypeAlias = sqlite.Insert | postgresql.Insert


def insert(tx: Transaction, table: type[SQLModel]) -> Insert:
    """Has `values`, `excluded`, `on_conflict_do_update` and `on_conflict_do_nothing`; what it gives when
    it is executed has a `rowcount` of the rows that were inserted or changed."""
    if tx.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).execution_options(preserve_rowcount=True)
    return sqlite.insert(table).execution_options(preserve_rowcount=True)
