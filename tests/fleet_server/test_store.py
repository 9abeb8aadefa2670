"""The database: its schema comes from migrations, its commits are whole (server 2)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import select

from limosa_server.access import audit
from limosa_server.errors import StoreNewer
from limosa_server.mqtt import outbox
from limosa_server.store import Store
from limosa_server.tables.access import AuditRow
from limosa_server.tables.devices import Device
from tests.fleet_server.databases import Database

pytestmark = pytest.mark.both_databases


@pytest.fixture
def place(database: Database) -> Path | str:
    return database.place()


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    opened = Store.open(place)
    yield opened
    opened.close()


def test_a_database_of_a_newer_server_is_refused_and_left_alone(store: Store, place: Path | str) -> None:
    with store.transaction() as tx:
        tx.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreNewer):
        Store.open(place)


def test_a_newer_revision_beside_this_programs_own_is_not_passed_over(
    store: Store, place: Path | str
) -> None:
    """Two rows, as a merge of branches or a restore over another database leaves them: the first that
    came was taken for the whole answer."""
    with store.transaction() as tx:
        tx.connection().execute(text("INSERT INTO alembic_version VALUES ('9999')"))
    store.close()
    with pytest.raises(StoreNewer):
        Store.open(place)


def test_an_error_in_a_transaction_leaves_nothing_and_announces_nothing(store: Store) -> None:
    told: list[frozenset[str]] = []
    store.listen(told.append)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012  # the raise is the point
        tx.add(Device(id="d1", enrolled_at=0.0))
        tx.announce("devices")
        tx.flush()
        raise ZeroDivisionError
    with store.read() as tx:
        assert tx.get(Device, "d1") is None
    assert told == []


def test_commits_are_durable_and_foreign_keys_hold(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "limosa.db")
    with store.read() as tx:
        values = {
            name: tx.connection().execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    store.close()
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_many_writers_at_once_keep_the_audit_chain_whole(store: Store) -> None:
    def write(i: int) -> None:
        with store.transaction() as tx:
            audit.record(tx, at=float(i), actor="test", action="write", object=f"row {i}", after={"i": i})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    with store.read() as tx:
        rows = tx.exec(select(AuditRow).order_by(AuditRow.seq)).all()  # type: ignore[arg-type]  # seq is only None before it is stored
    assert len(rows) == 40
    assert audit.first_break(rows) is None
    rows[17].after = '{"i":18}'
    assert audit.first_break(rows) == 18
    assert audit.first_break([*rows[:5], *rows[6:]]) == 7


def test_only_the_last_retained_message_of_a_topic_waits_and_ids_never_come_twice(store: Store) -> None:
    with store.transaction() as tx:
        outbox.publish(tx, at=0.0, topic="a", payload=b"1", retain=True)
        outbox.publish(tx, at=0.0, topic="a", payload=b"2", retain=True)
        first = outbox.waiting(tx, after=0, limit=10)
        assert [row.payload for row in first] == [b"2"]
        outbox.delivered(tx, [row.id for row in first if row.id is not None])
    with store.transaction() as tx:
        outbox.publish(tx, at=0.0, topic="a", payload=b"3", retain=True)
        second = outbox.waiting(tx, after=first[0].id or 0, limit=10)
    assert [row.payload for row in second] == [b"3"]
