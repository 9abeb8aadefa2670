"""A device's MQTT client, as stock as paho gives it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from limosa_contracts.report_message import Ack, ReportMessage
from limosa_contracts.topics import PREFIX, Suffix, device_topic
from limosa_server.mqtt.broker_config import BrokerTls
from tests.support.waiting import wait_until


@dataclass(slots=True)
class MqttDevice:
    id: str
    client: mqtt.Client
    acks: list[Ack] = field(default_factory=list)
    received: queue.SimpleQueue[mqtt.MQTTMessage] = field(default_factory=queue.SimpleQueue)
    reasons: dict[int, ReasonCode] = field(default_factory=dict)
    subscribed: int = 0

    def send(self, message: ReportMessage) -> int:
        return self.publish(
            device_topic(self.id, message.suffix), message.payload, properties=message.properties()
        )

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        properties: list[tuple[str, str]] | None = None,
        retain: bool = False,
    ) -> int:
        """The message id; its reason code comes into `reasons`."""
        carried = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
        if properties:
            carried.UserProperty = properties
        return self.client.publish(topic, payload, qos=1, retain=retain, properties=carried).mid

    def wait_for_ack(self, seq: int) -> None:
        wait_until(
            lambda: any(ack.seq >= seq for ack in self.acks),
            timeout_s=20,
            what=lambda: f"ack {seq}: {self.acks}",
        )


@contextmanager
def connected(
    device: str, *, host: str = "127.0.0.1", port: int, tls: BrokerTls | None = None, wait: bool = True
) -> Iterator[MqttDevice]:
    """Connected and subscribed to all that the server sends down; reconnects by itself."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=mqtt.MQTTv5)
    twin = MqttDevice(device, client)

    def on_connect(_: mqtt.Client, __: Any, ___: Any, reason: ReasonCode, ____: Any) -> None:
        if not reason.is_failure:
            filters = [
                (f"{PREFIX}/{device}/{suffix.value}", SubscribeOptions(qos=1))
                for suffix in (Suffix.DESIRED, Suffix.ACK, Suffix.CMD)
            ]
            client.subscribe(filters)

    def on_subscribe(*_: Any) -> None:
        twin.subscribed += 1

    def on_message(_: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/ack"):
            twin.acks.append(Ack.parse(bytes(message.payload)))
        else:
            twin.received.put(message)

    def on_publish(_: mqtt.Client, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        twin.reasons[mid] = reason

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_publish = on_publish
    client.reconnect_delay_set(1, 2)
    if tls is not None:
        client.tls_set(ca_certs=str(tls.ca), certfile=str(tls.certificate), keyfile=str(tls.key))
    client.connect_async(host, port, clean_start=True)
    client.loop_start()
    try:
        if wait:
            wait_until(lambda: twin.subscribed, timeout_s=20, what=f"{device} is subscribed")
        yield twin
    finally:
        client.disconnect()
        client.loop_stop()
