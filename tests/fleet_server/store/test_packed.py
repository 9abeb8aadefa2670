"""Lists go to PostgreSQL as its own bytes, and mean what the driver's would."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from limosa_server.store import Store
from limosa_server.store.among import among
from limosa_server.store.packed import packed
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database

UTF8 = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": UTF8,
    "TEXT": UTF8,
    "BYTEA": st.binary(max_size=20),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "INTEGER": st.integers(-(2**31), 2**31 - 1),
    "BOOLEAN": st.booleans(),
    "FLOAT": st.floats(allow_nan=False),
}


def test_every_list_comes_back_as_it_went(postgresql_database: str) -> None:
    with psycopg.connect(postgresql_database) as connection:

        @given(st.data(), st.sampled_from(sorted(KINDS)))
        @settings(max_examples=100, deadline=None)
        def hold(data: st.DataObject, kind: str) -> None:
            values = data.draw(st.lists(st.none() | KINDS[kind], max_size=8))
            sent = packed(kind, values)
            row = connection.execute(f"SELECT CAST(%s AS {kind}[])".encode(), (sent,), binary=True).fetchone()
            assert row is not None
            assert row[0] == values

        hold()
        row = connection.execute(
            b"SELECT CAST(%s AS JSON[])", (packed("JSON", ['{"a":1}', "[2]"]),)
        ).fetchone()
        assert row == ([{"a": 1}, [2]],)
        row = connection.execute(b"SELECT CAST(%s AS TEXT[])", (packed("TEXT", ["a\0b"]),)).fetchone()
        assert row == (["a\ufffdb"],)


@pytest.mark.both_databases
def test_rows_of_many_names_are_found_whatever_the_names(database: Database) -> None:
    store = Store.open(database.place())
    there = ["d'1", 'd"2', "d\\3", "d{4}", "d,5", "ü", "NULL", "", "d\n"]
    with store.transaction() as tx:
        tx.add_all(Device(id=name, enrolled_at=0.0) for name in there)
    with store.read() as tx:
        query = select(Device.id).where(among(tx, col(Device.id), [*there[1:], "nobody"]))
        assert sorted(tx.exec(query)) == sorted(there[1:])
        assert tx.exec(select(Device.id).where(among(tx, col(Device.id), []))).all() == []
        some = [f"x{i}" for i in range(70_000)]  # more than either database binds one by one
        assert tx.exec(select(Device.id).where(among(tx, col(Device.id), [*some, "ü"]))).all() == ["ü"]
    store.close()
