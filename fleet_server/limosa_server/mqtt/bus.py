"""MQTT, and only here: a client that acknowledges by hand and never loses its subscriptions (server 3)."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from limosa_contracts.topics import Suffix, every_device
from limosa_server.mqtt.broker_config import SERVER_NAME, SESSION_EXPIRY_S, BrokerTls
from limosa_server.mqtt.packet_client import PacketClient
from limosa_server.mqtt.packets import puback, publish
from limosa_server.mqtt.publish_packet import PublishPacket

log = logging.getLogger(__name__)
KEEPALIVE_S: Final = 30
RECONNECT_MAX_S: Final = 10
RECEIVE_MAX: Final = 65_535  # of the protocol: unacknowledged messages the broker may have under way
UPWARD: Final = (Suffix.EVENT, Suffix.REPORTED, Suffix.WINDOW, Suffix.STATUS, Suffix.ANSWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    host: str
    port: int
    tls: BrokerTls | None = None  # certificate and key are this server's own, as a client


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one read of the network brought."""

    packets: Sequence[PublishPacket]
    connection: int  # which connection they came over: acknowledging them over a later one would be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    connections: int
    connected: bool


class Bus:
    """`on_ready` is called in the network's thread each time the subscriptions stand, so also after
    the broker forgot them; `on_delivered` with the token of each message that the broker has."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        queue_max: int,
        on_ready: Callable[[], None],
        on_delivered: Callable[[int], None],
    ) -> None:
        self.received: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._address = address
        self._queue_max = queue_max
        self._on_ready = on_ready
        self._on_delivered = on_delivered
        self._tokens: dict[int, int | None] = {}  # message id -> token, from publish to acknowledgement
        self._early: set[int] = set()  # acknowledged before `publish` had returned
        self._lock = threading.Lock()
        self._connection = 0
        self._connected = threading.Event()
        self._client = self._make_client()

    def start(self) -> None:
        self._client.connect_async(
            self._address.host,
            self._address.port,
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=_connect_properties(self._queue_max),
        )
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def counts(self) -> Counts:
        return Counts(connections=self._connection, connected=self._connected.is_set())

    def take(self, *, most: int, wait_s: float, fill_s: float) -> list[Received]:
        """Reads until they hold `most` messages or a few more: waits `wait_s` for the first, then `fill_s`
        for more of them."""
        batch: list[Received] = []
        held = 0
        deadline = time.monotonic() + wait_s
        while held < most:
            try:
                batch.append(self.received.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return batch
            held += len(batch[-1].packets)
            if len(batch) == 1:
                deadline = time.monotonic() + fill_s
        return batch

    def acknowledge(self, batch: Sequence[Received]) -> None:
        """PUBACK: flow control only (server 3.3)."""
        # Of QoS 0 there is nothing to acknowledge: a PUBACK for it ends the connection.
        self._client.send_packets(
            [
                puback(packet.mid)
                for one in batch
                if one.connection == self._connection
                for packet in one.packets
                if packet.mid
            ]
        )

    def send(self, messages: Iterable[tuple[str, bytes]], *, expiry_s: int) -> None:
        """(topic, payload) of each, with QoS 0: what may be lost, since it will be asked for again."""
        self._client.send_packets([publish(topic, data, expiry_s=expiry_s) for topic, data in messages])

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool,
        expiry_s: int | None,
        token: int | None = None,
        answer_to: str = "",
        correlation: str = "",
    ) -> None:
        """QoS 1. Without a connection it waits in memory; `on_delivered(token)` says when it is out."""
        properties = _publish_properties(expiry_s, answer_to, correlation)
        sent = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        # paho calls `_published` under a lock of its own, which its `publish` takes too: ours must never
        # be held around it. So the acknowledgement may come before the token is filed.
        with self._lock:
            early = sent.mid in self._early
            if early:
                self._early.discard(sent.mid)
            else:
                self._tokens[sent.mid] = token
        if early and token is not None:
            self._on_delivered(token)

    def _make_client(self) -> PacketClient:
        client = PacketClient(
            CallbackAPIVersion.VERSION2,
            client_id=SERVER_NAME,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=True,
        )
        client.max_inflight_messages_set(1000)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(1, RECONNECT_MAX_S)
        client.on_connect = self._connected_now
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_packets = self._came
        client.on_publish = self._published
        if self._address.tls is not None:
            tls = self._address.tls
            client.tls_set(ca_certs=str(tls.ca), certfile=str(tls.certificate), keyfile=str(tls.key))
        return client

    def _connected_now(
        self,
        client: mqtt.Client,
        _: Any,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        __: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the server: %s", reason)
            return
        self._connection += 1
        self._connected.set()
        log.info("connected to the broker, session present: %s", flags.session_present)
        # On every connection, whatever the broker says it remembers (server 3.2).
        filters = [(every_device(suffix), SubscribeOptions(qos=1)) for suffix in UPWARD]
        client.subscribe(filters)

    def _disconnected(
        self,
        _: mqtt.Client,
        __: Any,
        ___: mqtt.DisconnectFlags,
        reason: ReasonCode,
        ____: Properties | None,
    ) -> None:
        self._connected.clear()
        log.info("the connection to the broker ended: %s", reason)

    def _subscribed(
        self, _: mqtt.Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.error("the broker refuses the server's subscriptions: %s", ", ".join(refused))
            return
        self._on_ready()

    def _came(self, packets: Sequence[PublishPacket]) -> None:
        """Never blocks: the broker sends no more than `queue_max` before it gets acknowledgements."""
        self.received.put(Received(packets=packets, connection=self._connection))

    def _published(
        self, _: mqtt.Client, __: Any, mid: int, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("the broker refuses a message of the server: %s", reason)
        with self._lock:
            if mid not in self._tokens:
                self._early.add(mid)
                return
            token = self._tokens.pop(mid)
        if token is not None:
            self._on_delivered(token)


def _publish_properties(expiry_s: int | None, answer_to: str, correlation: str) -> Properties | None:
    if expiry_s is None and not answer_to:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if answer_to:
        properties.ResponseTopic = answer_to
        properties.CorrelationData = correlation.encode()
    return properties


def _connect_properties(queue_max: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # as above
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = min(queue_max, RECEIVE_MAX)
    return properties
