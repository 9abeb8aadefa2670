"""Devices that come over HTTPS at once share a commit, and nothing else."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlmodel import col, select

from limosa_server.errors import StoreBusy
from limosa_server.reports.ingest import DeviceAck, Incoming
from limosa_server.reports.joined import JoinedIngest
from limosa_server.state import News
from limosa_server.store import Store, Transaction
from limosa_server.tables.reports import EventRow
from tests.fleet_server.world import Device, Fleet
from tests.support.waiting import wait_until

pytestmark = pytest.mark.both_databases
Taken = Future[list[DeviceAck]]


def at_once(
    fleet: Fleet, pool: ThreadPoolExecutor, devices: list[Device], *, reports: int = 1
) -> tuple[JoinedIngest, list[Taken]]:
    """Requests that all wait for the database, which somebody else writes to until then."""
    joined = JoinedIngest(fleet.state)
    with fleet.state.store.transaction():
        taken = [
            pool.submit(
                joined.take,
                [Incoming(device=one.id, message=one.event(f"{one.id} {i}")) for i in range(reports)],
            )
            for one in devices
        ]
        wait_until(lambda: joined.waiting >= len(devices) - 1, timeout_s=20, what="all but one queue")
    return joined, taken


def test_requests_that_wait_are_committed_together_and_each_has_its_own_answer(fleet: Fleet) -> None:
    devices = [fleet.enroll() for _ in range(6)]
    commits: list[frozenset[str]] = []
    with ThreadPoolExecutor(6) as pool:
        stop = fleet.state.store.listen(commits.append)
        _, taken = at_once(fleet, pool, devices, reports=3)
        acks = [one.result(20) for one in taken]
        stop()
    assert [[(ack.device, ack.ack.seq) for ack in one] for one in acks] == [[(d.id, 3)] for d in devices]
    assert len(commits) == 2, "the first one's, and that of all the others"
    with fleet.state.store.read() as tx:
        assert len(tx.exec(select(EventRow.key)).all()) == 18


def test_a_device_whose_reports_cannot_be_stored_fails_alone(fleet: Fleet) -> None:
    devices = [fleet.enroll() for _ in range(4)]
    bad = devices[2]

    def handler(tx: Transaction, news: News, now: float) -> None:
        if bad.id in news:
            raise RuntimeError("a defect")

    fleet.state.report_handlers.append(handler)
    with ThreadPoolExecutor(4) as pool:
        _, taken = at_once(fleet, pool, devices)
        good = [one.result(20) for one, device in zip(taken, devices, strict=True) if device is not bad]
        assert [len(acks) for acks in good] == [1, 1, 1]
        assert taken[2].exception(20) is not None or taken[2].result(20) == []
    with fleet.state.store.read() as tx:
        stored = set(tx.exec(select(col(EventRow.device))))
    assert stored == {device.id for device in devices if device is not bad}


def test_when_the_database_is_busy_nobody_is_acknowledged_and_the_next_try_is_taken(fleet: Fleet) -> None:
    devices = [fleet.enroll() for _ in range(3)]
    fleet.state.store.close()
    fleet.state.store = Store.open(fleet.state.settings.database, busy_timeout_s=0.2)
    joined = JoinedIngest(fleet.state)
    sent = [[Incoming(device=one.id, message=one.event("a"))] for one in devices]
    with ThreadPoolExecutor(3) as pool:
        with fleet.state.store.transaction():
            for one in [pool.submit(joined.take, batch) for batch in sent]:
                assert isinstance(one.exception(20), StoreBusy)
        assert [len(one.result(20)) for one in [pool.submit(joined.take, batch) for batch in sent]] == [1] * 3
