"""What a device with a good certificate may do to its neighbours on the real broker: nothing (trust 6.3)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from limosa_contracts.topics import PREFIX, Suffix, device_topic
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.mqtt_device import MqttDevice, connected
from tests.fleet_server.secured_broker import Secured, secured_broker
from tests.fleet_server.world import Device, Fleet
from tests.support.waiting import wait_until

DENIED: Final = 0x87
NO_SUBSCRIBERS: Final = 0x10
UPWARD: Final = (Suffix.REPORTED, Suffix.STATUS, Suffix.WINDOW, Suffix.EVENT)
FILTERS: Final = (
    "#",
    f"{PREFIX}/#",
    f"{PREFIX}/d/+/desired",
    f"{PREFIX}/d/+/#",
    f"$share/thieves/{PREFIX}/d/+/evt",
    "$SYS/#",
)


@pytest.fixture
def secured(fleet: Fleet, tmp_path: Path) -> Iterator[Secured]:
    with secured_broker(fleet, tmp_path) as running:
        yield running


@pytest.fixture
def thief(secured: Secured) -> Device:
    return secured.fleet.enroll()


@pytest.fixture
def victim(secured: Secured) -> Device:
    return secured.fleet.enroll()


def reasons(link: MqttDevice, topics: list[str], *, retain: bool = False) -> list[int]:
    """What the broker says of one message on each."""
    mids = [link.publish(topic, b"{}", retain=retain) for topic in topics]
    wait_until(lambda: all(mid in link.reasons for mid in mids), timeout_s=20, what="all are answered")
    return [link.reasons[mid].value for mid in mids]


def test_no_topic_of_another_device_can_be_written_retained_or_not(
    secured: Secured, thief: Device, victim: Device
) -> None:
    topics = [device_topic(victim.id, suffix) for suffix in Suffix]
    with connected(thief.id, port=secured.broker.port, tls=secured.tls(thief)) as link:
        assert reasons(link, topics) == [DENIED] * len(topics)
        assert reasons(link, topics, retain=True) == [DENIED] * len(topics)


def test_what_the_server_says_to_a_device_that_device_cannot_say_to_itself(
    secured: Secured, thief: Device
) -> None:
    downward = [device_topic(thief.id, s) for s in (Suffix.DESIRED, Suffix.ACK, Suffix.CMD)]
    with connected(thief.id, port=secured.broker.port, tls=secured.tls(thief)) as link:
        assert reasons(link, downward, retain=True) == [DENIED] * len(downward)


@pytest.mark.parametrize(
    "topic", ["x", f"{PREFIX}/server", f"{PREFIX}/d", f"{PREFIX}/d/+", "$SYS/broker/uptime"]
)
def test_topics_that_belong_to_nobody_cannot_be_written(secured: Secured, thief: Device, topic: str) -> None:
    with connected(thief.id, port=secured.broker.port, tls=secured.tls(thief)) as link:
        if "+" in topic:
            with pytest.raises(ValueError, match="wildcards"):
                link.publish(topic, b"{}")
        else:
            assert reasons(link, [topic])[0] in (DENIED, NO_SUBSCRIBERS)


def test_wide_subscriptions_bring_nothing_of_others(secured: Secured, thief: Device, victim: Device) -> None:
    with (
        connected(thief.id, port=secured.broker.port, tls=secured.tls(thief)) as link,
        connected(victim.id, port=secured.broker.port, tls=secured.tls(victim)) as theirs,
    ):
        for wide in FILTERS:
            link.client.subscribe(wide, qos=1)
        wait_until(lambda: link.subscribed > len(FILTERS), timeout_s=20, what="the broker has answered")
        theirs.send(victim.event("a"))
        theirs.wait_for_ack(1)
        link.send(thief.event("b"))
        link.wait_for_ack(1)  # in order: what the broker had for the thief has come before
        heard = [link.received.get_nowait().topic for _ in range(link.received.qsize())]
    assert [topic for topic in heard if victim.id in topic or not topic.startswith(PREFIX)] == []


def test_a_last_will_on_anothers_status_is_never_published(
    secured: Secured, thief: Device, victim: Device
) -> None:
    files = secured.tls(thief)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=thief.id, protocol=mqtt.MQTTv5)
    client.will_set(
        device_topic(victim.id, Suffix.STATUS),
        json.dumps({"schema": "limosa.status/1", "online": False, "session": 2**40}),
        qos=1,
        retain=True,
    )
    client.tls_set(ca_certs=str(files.ca), certfile=str(files.certificate), keyfile=str(files.key))
    with connected(victim.id, port=secured.broker.port, tls=secured.tls(victim)) as theirs:
        theirs.send(victim.event("a"))
        theirs.wait_for_ack(1)
        client.connect("127.0.0.1", secured.broker.port)
        client.loop_start()
        try:
            wait_until(client.is_connected, timeout_s=20, what="the thief is connected")
            found = client.socket()
            assert isinstance(found, socket.socket)
            found.shutdown(socket.SHUT_RDWR)  # no DISCONNECT: the broker sends the will
        finally:
            client.loop_stop()
        theirs.send(victim.event("b"))
        theirs.wait_for_ack(2)
    with secured.fleet.state.store.read() as tx:
        row = tx.get(DeviceRow, victim.id)
    assert row is not None
    assert row.presence_session < 2**40


def test_a_message_over_the_limit_ends_nobody_elses_connection(
    secured: Secured, thief: Device, victim: Device
) -> None:
    with (
        connected(victim.id, port=secured.broker.port, tls=secured.tls(victim)) as theirs,
        connected(thief.id, port=secured.broker.port, tls=secured.tls(thief)) as link,
    ):
        link.client.publish(device_topic(thief.id, Suffix.EVENT), b"x" * 5_000_000, qos=1)
        theirs.send(victim.event("a"))
        theirs.wait_for_ack(1)
        assert theirs.subscribed == 1, "it was never cut off"
