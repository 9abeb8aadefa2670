"""mosquitto with client certificates: each device has its own topics and nothing else (trust 6.3)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.tables.reports import EventRow
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.secured_broker import Secured, secured_broker
from tests.fleet_server.world import Device, Fleet
from tests.support.waiting import wait_until

NOT_AUTHORISED = 0x87


@pytest.fixture
def secured(fleet: Fleet, tmp_path: Path) -> Iterator[Secured]:
    with secured_broker(fleet, tmp_path) as running:
        yield running


def events(fleet: Fleet) -> list[str]:
    with fleet.state.store.read() as tx:
        return list(tx.exec(select(EventRow.key).order_by(EventRow.key)))


def test_a_device_speaks_with_its_certificate_as_its_name(secured: Secured) -> None:
    device = secured.fleet.enroll()
    with connected(device.id, port=secured.broker.port, tls=secured.tls(device)) as link:
        link.send(device.event("a"))
        link.wait_for_ack(1)
    assert events(secured.fleet) == ["a"]


def test_writing_to_another_devices_topics_is_denied_and_the_device_can_see_it(secured: Secured) -> None:
    device, victim = secured.fleet.enroll(), secured.fleet.enroll()
    with connected(device.id, port=secured.broker.port, tls=secured.tls(device)) as link:
        forged = [
            link.publish(device_topic(victim.id, suffix), b"{}")
            for suffix in (Suffix.EVENT, Suffix.STATUS, Suffix.DESIRED)
        ]
        own = link.publish(device_topic(device.id, Suffix.DESIRED), b"{}")
        wait_until(lambda: len(link.reasons) == 4, timeout_s=20, what="all four are answered")
        assert [link.reasons[mid].value for mid in (*forged, own)] == [NOT_AUTHORISED] * 4


def test_reading_another_devices_documents_is_denied(secured: Secured) -> None:
    device, victim = secured.fleet.enroll(), secured.fleet.enroll()
    victim.session = 99
    with (
        connected(victim.id, port=secured.broker.port, tls=secured.tls(victim)) as theirs,
        connected(device.id, port=secured.broker.port, tls=secured.tls(device)) as link,
    ):
        link.client.subscribe(device_topic(victim.id, Suffix.ACK), qos=1)
        link.client.subscribe("limosa/v1/d/+/ack", qos=1)
        wait_until(lambda: link.subscribed >= 3, timeout_s=20, what="the broker has answered")
        theirs.send(victim.event("a"))
        theirs.wait_for_ack(1)
        link.send(device.event("b"))
        link.wait_for_ack(1)
    assert {ack.session for ack in link.acks} == {device.session}  # its own, and not the victim's


def test_a_device_cannot_kick_another_off_by_taking_its_client_id(secured: Secured) -> None:
    device, victim = secured.fleet.enroll(), secured.fleet.enroll()
    with connected(victim.id, port=secured.broker.port, tls=secured.tls(victim)) as theirs:
        with connected(victim.id, port=secured.broker.port, tls=secured.tls(device)) as thief:
            wait_until(lambda: thief.subscribed, timeout_s=20, what="the thief is connected, as itself")
        theirs.send(victim.event("a"))
        theirs.wait_for_ack(1)
    assert theirs.subscribed == 1


def test_a_certificate_of_nobody_we_know_gets_no_connection(secured: Secured) -> None:
    device = secured.fleet.enroll()
    files = secured.tls(device)
    stranger = Device(key=SigningKey.generate(Algorithm.P256), enrolled=device.enrolled)
    files.key.write_bytes(stranger.key.pem())
    with (
        pytest.raises(ssl.SSLError),
        connected(device.id, port=secured.broker.port, tls=files, wait=False),
    ):
        raise AssertionError("a key that is not the certificate's was taken")
