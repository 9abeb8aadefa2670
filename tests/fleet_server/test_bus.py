"""The same tests of the bus on each broker, by its capabilities (server 3, 4)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.errors import ListenRefused
from limosa_server.mqtt import outbox
from limosa_server.mqtt.broker import BrokerChild, choose
from limosa_server.mqtt.broker_config import IOTCORE, MOSQUITTO, Capabilities
from limosa_server.mqtt.bus import BrokerAddress
from limosa_server.mqtt.bus_workers import BusWorkers
from limosa_server.settings import ServerLimits
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.reports import EventRow, OutboxRow, RefusedReport
from limosa_server.tables.rollouts import DesiredDocument
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.world import Device, Fleet
from tests.support.programs import require_program
from tests.support.waiting import wait_until


@pytest.fixture(params=[MOSQUITTO, IOTCORE], ids=lambda kind: str(kind.name))
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerChild]:
    kind: Capabilities = request.param
    if kind is MOSQUITTO:
        require_program("mosquitto")
    child = BrokerChild(kind, tmp_path / "broker", host="127.0.0.1", port=0, limits=ServerLimits())
    child.start()
    yield child
    child.stop()


@pytest.fixture
def bus(broker: BrokerChild, fleet: Fleet) -> Iterator[BusWorkers]:
    workers = BusWorkers(fleet.state, BrokerAddress(host=broker.host, port=broker.port))
    workers.start()
    wait_until(lambda: workers.bus.counts().connected, timeout_s=20, what="the server is connected")
    yield workers
    workers.stop()


def events(fleet: Fleet) -> list[str]:
    with fleet.state.store.read() as tx:
        return list(tx.exec(select(EventRow.key).order_by(EventRow.key)))


def desire(fleet: Fleet, device: Device, envelope: bytes) -> None:
    """As the director does it: the document and its message in one transaction."""
    with fleet.state.store.transaction() as tx:
        row = tx.get(DesiredDocument, device.id) or DesiredDocument(
            device=device.id, epoch=1, counter=1, envelope=b"", issued=0.0, expires=9e9
        )
        row.envelope = envelope
        tx.add(row)
        outbox.publish(
            tx, at=0.0, topic=device_topic(device.id, Suffix.DESIRED), payload=envelope, retain=True
        )


def test_a_report_is_acknowledged_after_it_is_committed(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device = fleet.enroll()
    with connected(device.id, port=broker.port) as link:
        for name in ("a", "b", "c"):
            link.send(device.event(name))
        link.wait_for_ack(3)
    assert events(fleet) == ["a", "b", "c"]


def test_a_desired_document_is_there_for_a_device_that_connects_later(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device = fleet.enroll()
    desire(fleet, device, b"one")
    desire(fleet, device, b"two")

    def nothing_waits() -> bool:
        with fleet.state.store.read() as tx:
            return tx.exec(select(OutboxRow)).first() is None

    wait_until(nothing_waits, timeout_s=20, what="the outbox is empty")
    with connected(device.id, port=broker.port) as link:
        assert bytes(link.received.get(timeout=10).payload) == b"two"


def test_presence_of_an_older_session_does_not_override_a_newer(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device = fleet.enroll()

    def online() -> bool:
        with fleet.state.store.read() as tx:
            return tx.get_one(DeviceRow, device.id).online

    topic = device_topic(device.id, Suffix.STATUS)
    with connected(device.id, port=broker.port) as link:
        link.publish(topic, Status(online=True, session=9).encode(), retain=True)
        wait_until(online, timeout_s=20, what="the device is online")
        link.publish(topic, Status(online=False, session=8).encode())
        link.send(device.event("after"))
        link.wait_for_ack(1)
        assert online()
        link.publish(topic, Status(online=False, session=9).encode(), retain=True)
        wait_until(lambda: not online(), timeout_s=20, what="the device is offline")


@pytest.mark.parametrize(
    "payload, properties",
    [
        (b"{}", []),
        (b"{}", [("session", "x"), ("seq", "1"), ("prev", "0"), ("sig", "")]),
        (b"", [("sig", "!")]),
    ],
)
def test_a_message_without_a_number_or_signature_stops_nobody(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet, payload: bytes, properties: list[tuple[str, str]]
) -> None:
    device = fleet.enroll()
    with connected(device.id, port=broker.port) as link:
        link.publish(device_topic(device.id, Suffix.EVENT), payload, properties=properties)
        link.send(device.event("a"))
        link.wait_for_ack(1)
    assert events(fleet) == ["a"]


def test_a_payload_of_64_kib_and_one_byte_is_refused_and_the_device_goes_on(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device = fleet.enroll()
    with connected(device.id, port=broker.port) as link:
        link.send(device.message(Suffix.EVENT, b"x" * (64 * 1024 + 1)))
        link.send(device.event("a"))
        link.wait_for_ack(2)
    assert events(fleet) == ["a"]
    with fleet.state.store.read() as tx:
        assert tx.get_one(RefusedReport, (device.id, "LM-412")).count == 1


def test_the_broker_is_killed_and_comes_back_with_the_newest_document(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    device = fleet.enroll()
    desire(fleet, device, b"before")
    with connected(device.id, port=broker.port) as link:
        assert bytes(link.received.get(timeout=10).payload) == b"before"
        message = device.event("a")
        link.send(message)
        link.wait_for_ack(1)
        pid = broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        desire(fleet, device, b"after")  # while there is no broker
        wait_until(lambda: broker.pid not in (None, pid), timeout_s=20, what="the broker is started again")
        seen: list[bytes] = []

        def newest() -> bool:
            while not link.received.empty():
                seen.append(bytes(link.received.get().payload))
            return bool(seen) and seen[-1] == b"after"

        wait_until(newest, timeout_s=30, what=lambda: f"the newest document, not {seen}")
        link.send(message)  # what was acknowledged, again
        link.send(device.event("b"))
        link.wait_for_ack(2)
    assert events(fleet) == ["a", "b"]


def test_the_server_away_for_a_while_loses_nothing(broker: BrokerChild, fleet: Fleet) -> None:
    device = fleet.enroll()
    messages = [device.event(f"{i:02}") for i in range(30)]
    with connected(device.id, port=broker.port) as link:
        for message in messages:
            link.send(message)
        workers = BusWorkers(fleet.state, BrokerAddress(host=broker.host, port=broker.port))
        workers.start()
        try:
            wait_until(lambda: workers.bus.counts().connected, timeout_s=20, what="the server is connected")
            for message in messages:  # go-back-N after the device's timeout
                link.send(message)
            link.wait_for_ack(30)
        finally:
            workers.stop()
    assert len(events(fleet)) == 30


def test_the_server_knows_since_when_it_has_no_broker(
    broker: BrokerChild, bus: BusWorkers, fleet: Fleet
) -> None:
    wait_until(lambda: fleet.state.broker.down_since() is None, timeout_s=20, what="the link stands")
    broker.stop()
    lost_at = fleet.clock.now
    wait_until(lambda: fleet.state.broker.down_since() is not None, timeout_s=20, what="it is missed")
    fleet.clock.now += 300
    assert fleet.state.broker.down_since() == lost_at


def test_the_embedded_broker_never_listens_on_other_machines_addresses(tmp_path: Path) -> None:
    with pytest.raises(ListenRefused):
        BrokerChild(IOTCORE, tmp_path, host="0.0.0.0", port=0, limits=ServerLimits())
    with pytest.raises(ListenRefused):
        choose("iotcore", dev=False)
    assert choose("iotcore", dev=True) is IOTCORE
