"""What callers rely on holds on SQLite and on PostgreSQL alike (server 2)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlmodel import col, select

from limosa_server.errors import AlreadyRunning, DatabaseRefused, StoreBusy, StoreDown
from limosa_server.store import Store
from limosa_server.store.claim import Claim
from limosa_server.store.engine import place_of, shown
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import EventRow, InboxMark
from tests.fleet_server.databases import Database
from tests.support.postgresql import running_cluster

SECRET = "s3cr3t-canary"


@pytest.fixture
def place(database: Database) -> Path | str:
    return database.place()


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    opened = Store.open(place, busy_timeout_s=0.5)
    yield opened
    opened.close()


@pytest.mark.both_databases
def test_a_row_that_is_there_is_changed_only_where_the_condition_holds(store: Store) -> None:
    rows = [{"device": "d", "session": 1, "mark": mark, "updated_at": 0.0} for mark in (5, 9, 7)]
    with store.transaction() as tx:
        statement = insert(tx, InboxMark)
        written = tx.connection().execute(
            statement.on_conflict_do_update(
                index_elements=["device", "session"],
                set_={"mark": statement.excluded.mark},
                where=col(InboxMark.mark) < statement.excluded.mark,
            ),
            rows,
        )
        assert written.rowcount == 2
    with store.read() as tx:
        assert tx.get_one(InboxMark, ("d", 1)).mark == 9


@pytest.mark.both_databases
def test_a_row_that_is_there_is_left_alone_and_not_counted(store: Store) -> None:
    with store.transaction() as tx:
        for expected in (1, 0):
            statement = insert(tx, Device).values(id="d", enrolled_at=0.0).on_conflict_do_nothing()
            assert tx.connection().execute(statement).rowcount == expected


@pytest.mark.both_databases
def test_numbers_of_63_bits_are_kept(store: Store) -> None:
    with store.transaction() as tx:
        tx.add(Device(id="d", enrolled_at=0.0, desired_counter=2**63 - 1))
    with store.read() as tx:
        found = tx.exec(select(Device).where(Device.desired_counter == 2**63 - 1)).one()
    assert found.desired_counter == 2**63 - 1


@pytest.mark.both_databases
def test_text_sorts_by_code_point_whatever_the_locale(store: Store) -> None:
    names = ["a-b", "A", "aB", "ab", "a b", "B", "ä", "a"]
    with store.transaction() as tx:
        for name in names:
            tx.add(Device(id=name, enrolled_at=0.0))
    with store.read() as tx:
        assert tx.exec(select(Device.id).order_by(Device.id)).all() == sorted(names)
        assert tx.exec(select(Device.id).where(Device.id > "a").order_by(Device.id)).all() == [
            name for name in sorted(names) if name > "a"
        ]


@pytest.mark.both_databases
def test_a_device_cannot_send_a_character_that_is_not_stored(store: Store) -> None:
    """U+0000 in a reason: PostgreSQL's text does not hold it, and refused the whole batch."""
    with store.transaction() as tx:
        tx.add(
            EventRow(
                device="d", key="k", kind="update", model="m", version="1", rollout="", attempt=1,
                phase="COMMITTED", reason_code="", reason="a\0b", at=0.0, received_at=0.0, body="{}",
            )
        )  # fmt: skip
    with store.read() as tx:
        assert tx.exec(select(EventRow.reason)).one() in ("a\0b", "a\ufffdb")


@pytest.mark.both_databases
def test_a_read_sees_one_moment_while_others_write(store: Store) -> None:
    with store.read() as tx:
        before = len(tx.exec(select(Device.id)).all())
        with store.transaction() as writing:
            writing.add(Device(id="d", enrolled_at=0.0))
        assert len(tx.exec(select(Device.id)).all()) == before == 0


@pytest.mark.both_databases
def test_another_process_that_writes_is_waited_for_and_then_the_database_is_busy(
    store: Store, place: Path | str
) -> None:
    other = Store.open(place, busy_timeout_s=0.5)
    held, done = threading.Event(), threading.Event()

    def write() -> None:
        with other.transaction() as tx:
            tx.add(Device(id="d", enrolled_at=0.0))
            tx.flush()
            held.set()
            done.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    assert held.wait(10)
    with pytest.raises(StoreBusy), store.transaction() as tx:
        tx.get(Device, "d")
    done.set()
    thread.join()
    with store.transaction() as tx:
        assert tx.get(Device, "d") is not None
    other.close()


def test_two_servers_do_not_work_with_one_database(postgresql_database: str) -> None:
    first, second = Store.open(postgresql_database), Store.open(postgresql_database)
    one, two = Claim(postgresql_database), Claim(postgresql_database)
    one.hold()
    one.hold()
    with pytest.raises(AlreadyRunning):
        two.hold()
    one.release()
    two.hold()
    two.release()
    first.close()
    second.close()


def test_a_claim_is_taken_back_from_a_session_of_its_own_that_only_seems_alive(
    postgresql_database: str,
) -> None:
    """The network broke, and the database has not noticed: to it the session before is still there."""
    claim, other = Claim(postgresql_database), Claim(postgresql_database)
    claim.hold()
    ghost = claim._connection  # what the network does is done here
    assert ghost is not None
    claim._connection = None  # as above
    with pytest.raises(AlreadyRunning):
        other.hold()
    claim.hold()
    with pytest.raises(psycopg.OperationalError):
        ghost.execute("SELECT 1")
    with pytest.raises(AlreadyRunning):
        other.hold()
    claim.release()
    other.hold()
    with pytest.raises(AlreadyRunning):
        claim.hold()
    other.release()


def test_a_database_that_is_killed_is_named_as_down_and_worked_with_again_when_it_is_back() -> None:
    with running_cluster() as cluster:
        store = Store.open(cluster.create("limosa"))
        claim = Claim(store.engine.url.render_as_string(hide_password=False))
        claim.hold()
        cluster.stop()
        with pytest.raises(StoreDown), store.transaction() as tx:
            tx.get(Device, "d")
        with pytest.raises(StoreDown), store.read() as tx:
            tx.get(Device, "d")
        with pytest.raises(StoreDown):
            claim.hold()
        cluster.start()
        with store.transaction() as tx:
            tx.add(Device(id="d", enrolled_at=0.0))
        claim.hold()
        claim.release()
        store.close()


def test_the_connection_breaks_inside_a_transaction_and_nothing_of_it_is_stored() -> None:
    with running_cluster() as cluster:
        store = Store.open(cluster.create("limosa"))
        with pytest.raises(StoreDown), store.transaction() as tx:  # noqa: PT012  # it breaks in the middle
            tx.add(Device(id="d", enrolled_at=0.0))
            tx.flush()
            cluster.stop()
            tx.exec(select(Device.id)).all()
        cluster.start()
        with store.read() as tx:
            assert tx.get(Device, "d") is None
        store.close()


@pytest.mark.parametrize(
    "url", [f"mysql://u:{SECRET}@host/db", f"postgresql://u:{SECRET}@[::1", "sqlite://", "http://x"]
)
def test_a_database_of_another_kind_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(DatabaseRefused) as caught:
        place_of(url)
    assert SECRET not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    url = f"postgres://limosa:{SECRET}@127.0.0.1:1/limosa?connect_timeout=1"
    assert shown(place_of(url)) == "postgresql://limosa:***@127.0.0.1:1/limosa?connect_timeout=1"
    with pytest.raises(StoreDown) as caught:
        Store.open(url)
    assert SECRET not in str(caught.value)
