"""A device that begins a new outbox with each message (server 3.2)."""

from __future__ import annotations

import pytest
from sqlmodel import select

from limosa_server.reports.ingest import DeviceAck, Incoming, Ingest
from limosa_server.reports.marks import SESSIONS_MAX
from limosa_server.tables.reports import EventRow, InboxMark
from tests.fleet_server.world import Device, Fleet

pytestmark = pytest.mark.both_databases


def sessions_of(fleet: Fleet, device: Device) -> list[int]:
    with fleet.state.store.read() as tx:
        return sorted(tx.exec(select(InboxMark.session).where(InboxMark.device == device.id)))


def send(ingest: Ingest, fleet: Fleet, device: Device, sessions: range) -> list[DeviceAck]:
    batch = []
    for session in sessions:
        device.session, device.seq = session, 0
        batch.append(Incoming(device=device.id, message=device.event(f"e{session}")))
    fleet.clock.now += 1
    return ingest.take(batch)


def test_a_device_that_begins_anew_with_each_message_costs_others_nothing(fleet: Fleet) -> None:
    """Each commit of a batch with it in read every outbox that it had ever named, and none was forgotten."""
    liar, other = fleet.enroll(), fleet.enroll()
    ingest = Ingest(fleet.state)
    send(ingest, fleet, other, range(1, 4))
    for begin in range(1000, 1000 + 5 * SESSIONS_MAX, SESSIONS_MAX):
        last = range(begin, begin + SESSIONS_MAX)
        assert len(send(ingest, fleet, liar, last)) == SESSIONS_MAX
    assert sessions_of(fleet, liar) == list(last), "the latest are kept"
    assert sessions_of(fleet, other) == [1, 2, 3], "nobody else's are counted"
    assert len(send(ingest, fleet, liar, last)) == SESSIONS_MAX, "and acknowledged again, as known"
    with fleet.state.store.read() as tx:
        assert len(tx.exec(select(EventRow.id)).all()) == 3 + 5 * SESSIONS_MAX
