"""Many rows with one statement change exactly what a row at a time would, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.rollouts.executions import write_due, write_many
from limosa_server.rollouts.rollout_rows import execution_of
from limosa_server.store import Store
from limosa_server.store.bulk import Insert, Upsert
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import OutboxRow
from limosa_server.tables.rollouts import DesiredDocument, ExecutionRow, RolloutRow
from tests.fleet_server.databases import Database

COLUMNS = ("device", "epoch", "counter", "envelope", "issued", "expires", "keyid")
CHANGED = DeviceExecution(
    device="d1", wave=2, state=Execution.IN_PROGRESS, step="downloading", reason="“50 %”\0", reason_code="r",
    since=2.5, attempt=3, offered_at=1.5, clock_from=1.0, away=True, silent=True, from_version="1.0.0",
    from_index="a" * 64, committed=True, returning=Return.SENT, return_version="0.9.0",
    return_index="b" * 64, document=(4, 9_000_000_000_000_000), size_bytes=7, verify_from=0.25,
    not_before=None, failed_as="TIMED_OUT", failed_under={"disk_free_bytes": 5, "about": "ü"},
)  # fmt: skip


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    opened = Store.open(database.place(), busy_timeout_s=0.5)
    with opened.transaction() as tx:
        tx.add_all(Device(id=name, enrolled_at=0.0) for name in ("d0", "d1", "d2"))
        tx.add(
            RolloutRow(
                id=1, model="t/m", version="1.0.0", index_sha256="", target="", spec={}, salt="",
                fingerprint="", status="RUNNING", reason="", since=0.0, created_at=0.0, created_by="",
            )
        )  # fmt: skip
        tx.flush()
        tx.add_all(
            ExecutionRow(
                rollout=1, device=name, wave=0, state="QUEUED", step="queued", since=0.0, size_bytes=7,
                due_at=1.0,
            )
            for name in ("d0", "d1", "d2")
        )  # fmt: skip
    yield opened
    opened.close()


@pytest.mark.both_databases
def test_an_execution_comes_back_as_it_was_written_and_its_neighbours_stay(store: Store) -> None:
    with store.transaction() as tx:
        write_many(tx, [(1, CHANGED, None)])
    with store.read() as tx:
        rows = {row.device: row for row in tx.exec(select(ExecutionRow)).all()}
    found = execution_of(rows["d1"])
    assert found.reason.rstrip("\0\ufffd") == "“50 %”"  # PostgreSQL has no NUL in a text
    assert {**_fields(found), "reason": ""} == {**_fields(CHANGED), "reason": ""}
    assert rows["d1"].due_at is None
    for other in ("d0", "d2"):
        assert (rows[other].state, rows[other].due_at, rows[other].wave) == ("QUEUED", 1.0, 0)


@pytest.mark.both_databases
def test_only_the_time_is_written_where_only_that_changed(store: Store) -> None:
    with store.transaction() as tx:
        write_due(tx, [(1, "d0", 9.5), (1, "d2", None), (2, "d1", 3.0)])
        write_due(tx, [])
    with store.read() as tx:
        found = tx.exec(select(ExecutionRow.device, ExecutionRow.due_at, ExecutionRow.state)).all()
    assert sorted(found) == [("d0", 9.5, "QUEUED"), ("d1", 1.0, "QUEUED"), ("d2", None, "QUEUED")]


@pytest.mark.both_databases
def test_without_a_newer_column_the_last_word_holds_even_if_it_is_lower(store: Store) -> None:
    """An epoch begins anew with a lower counter (trust 4.3)."""
    for counter, envelope in ((9, b"\x00\xff old"), (1, b"new")):
        with store.transaction() as tx:
            upsert = Upsert.of(tx, DesiredDocument, COLUMNS, key=("device",))
            assert upsert.put(tx, [("d0", counter, counter, envelope, 0.5, 1.5, "key")]) == 1
    with store.read() as tx:
        row = tx.get_one(DesiredDocument, "d0")
    assert (row.counter, row.envelope, row.issued, row.keyid) == (1, b"new", 0.5, "key")


@pytest.mark.both_databases
def test_rows_are_inserted_in_their_order_also_with_nothing_in_a_column(store: Store) -> None:
    columns = ("topic", "payload", "retain", "expiry_s", "created_at", "answer_to", "correlation")
    rows = [(f"t{at}", bytes([at]), at % 2 == 0, None if at else 60, 1.0, "", "") for at in range(20)]
    with store.transaction() as tx:
        Insert.of(tx, OutboxRow, columns).put(tx, rows)
    with store.read() as tx:
        found = tx.exec(select(OutboxRow).order_by(col(OutboxRow.id))).all()
    assert [(row.topic, row.payload, row.retain, row.expiry_s) for row in found] == [row[:4] for row in rows]


@pytest.mark.both_databases
def test_what_all_rows_have_alike_is_said_once_and_comes_back_as_it_was(store: Store) -> None:
    rows = [("d0", 3), ("d1", 4), ("d2", 5)]
    same = {
        "rollout": 2, "wave": 1, "state": "QUEUED", "step": "it's 50 % of :this “ü”", "reason": "",
        "reason_code": "", "since": 1700000000.125, "attempt": 1, "offered_at": None, "clock_from": 0.1,
        "away": True, "from_version": "", "from_index": "", "committed": False, "way_back": "",
        "return_version": "", "return_index": "", "document_epoch": 0,
        "document_counter": 9_000_000_000_000_000, "silent": False, "verify_from": 0.0, "not_before": None,
        "failed_as": "", "failed_under": '{"about": "50 %"}', "due_at": None,
    }  # fmt: skip
    with store.transaction() as tx:
        tx.add(RolloutRow(**{**tx.get_one(RolloutRow, 1).model_dump(), "id": 2}))
        tx.flush()
        assert Insert.of(tx, ExecutionRow, ("device", "size_bytes"), same).put(tx, rows) == 3
    with store.read() as tx:
        found = tx.exec(select(ExecutionRow).where(ExecutionRow.rollout == 2)).all()
    assert sorted((row.device, row.size_bytes) for row in found) == rows
    for row in found:
        said = {**row.model_dump(), "way_back": row.returning, "failed_under": row.failed_under}
        assert {name: said[name] for name in same} == {**same, "failed_under": {"about": "50 %"}}


def _fields(run: DeviceExecution) -> dict[str, object]:
    return {name: getattr(run, name) for name in DeviceExecution.__slots__}
