"""New hardware under the name of a device: its events are its own (trust 6.1)."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.phases import Phase
from limosa_server.fleet.departure import Departed, Departure
from limosa_server.reports import event_rows
from limosa_server.store import Store, Transaction
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import EventRow
from tests.fleet_server.databases import Database

pytestmark = pytest.mark.both_databases


def tell(tx: Transaction, phase: Phase, *, at: float) -> int:
    event = UpdateEvent(
        device="d", key=f"8:1:demo/motion:{phase.value}", kind="update", model="demo/motion", version="1.0.0",
        index_sha256="0" * 64, manifest_sha256="", rollout="8", attempt=1, phase=phase,
        reason=Reason(code="", message=""), at=at, boot="b",
    )  # fmt: skip
    return event_rows.store(tx, [(event, event.encode())], at, progress_per_day=100)["stored"]


def leave(tx: Transaction, how: Departed, *, at: float) -> None:
    event_rows.on_leaving(tx, Departure(device="d", how=how, reason="", at=at))


def test_new_hardware_that_commits_what_the_old_one_had_is_heard(database: Database) -> None:
    """Its page ended with "verifying": the commit was taken for one that had been told already."""
    store = Store.open(database.place())
    with store.transaction() as tx:
        tx.add(Device(id="d", enrolled_at=0.0))
        tx.flush()
        assert tell(tx, Phase.COMMITTED, at=1.0) == 1
        leave(tx, Departed.REVOKED, at=2.0)
        assert tell(tx, Phase.COMMITTED, at=3.0) == 0, "let in again, it is the same hardware"
        for at in (4.0, 6.0):
            leave(tx, Departed.REPLACED, at=at)
            assert tell(tx, Phase.COMMITTED, at=at + 1) == 1
            assert tell(tx, Phase.COMMITTED, at=at + 1) == 0
    with store.read() as tx:
        assert [row.at for row in tx.exec(select(EventRow).order_by(col(EventRow.id))).all()] == [
            1.0,
            5.0,
            7.0,
        ]
    store.close()
