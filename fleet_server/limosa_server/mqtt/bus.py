"""MQTT, and only here: a client that acknowledges by hand and never loses its subscriptions (server 3)."""

from __future__ import annotations

import logging
import queue
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from limosa_contracts.topics import Suffix, every_device
from limosa_server.mqtt.broker_config import SERVER_NAME, SESSION_EXPIRY_S, BrokerTls
from limosa_server.mqtt.publish_packet import PublishPacket, expiry_property, parse_publish

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
    topic: str
    payload: bytes
    properties: Sequence[tuple[str, str]]
    retained: bool
    mid: int
    connection: int  # which connection it came over: acknowledging it over a later one would be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    connections: int
    connected: bool


class _Client(mqtt.Client):
    """Reads messages itself, and survives those that cannot be read.

    mosquitto forwards U+FEFF in a property; paho takes it for a broken packet and ends the connection.
    The message is then delivered again on the next one: a single device would keep the server deaf.
    """

    on_packet: Callable[[PublishPacket, bool], None]
    """Called with each PUBLISH and whether it was retained, in place of paho's `on_message`."""

    def _handle_publish(self) -> MQTTErrorCode:
        command, packet = self._in_packet["command"], bytes(self._in_packet["packet"])
        qos = (command >> 1) & 3
        try:
            read = parse_publish(packet, qos=qos)
        except MalformedPacket as error:
            log.warning("a message that cannot be read was dropped: %s", error)
            return self._drop(packet, qos=qos)
        self.on_packet(read, bool(command & 1))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _drop(self, packet: bytes, *, qos: int) -> MQTTErrorCode:
        """Acknowledges it, so that it does not come again. Raises MalformedPacket if it has no number."""
        if qos == 0:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            (length,) = struct.unpack_from("!H", packet)
            (mid,) = struct.unpack_from("!H", packet, 2 + length)
        except struct.error as error:
            raise MalformedPacket(str(error)) from error
        return self.ack(mid, qos)


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
        """Up to `most` messages: waits `wait_s` for the first, then `fill_s` for more of them."""
        batch: list[Received] = []
        deadline = time.monotonic() + wait_s
        while len(batch) < most:
            try:
                batch.append(self.received.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return batch
            if len(batch) == 1:
                deadline = time.monotonic() + fill_s
        return batch

    def acknowledge(self, batch: Sequence[Received]) -> None:
        """PUBACK: flow control only (server 3.3)."""
        for one in batch:
            # Of QoS 0 there is nothing to acknowledge: a PUBACK for it ends the connection.
            if one.mid and one.connection == self._connection:
                self._client.ack(one.mid, 1)

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

    def _make_client(self) -> mqtt.Client:
        client = _Client(
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
        client.on_packet = self._message
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

    def _message(self, packet: PublishPacket, retained: bool) -> None:
        """Never blocks: the broker sends no more than `queue_max` before it gets acknowledgements."""
        self.received.put(
            Received(
                topic=packet.topic,
                payload=packet.payload,
                properties=packet.properties,
                retained=retained,
                mid=packet.mid,
                connection=self._connection,
            )
        )

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


class _ExpiryOnly(Properties):
    """Packed once: acknowledgements go out by the thousand, and paho packs each anew."""

    def __init__(self, seconds: int) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
        self.MessageExpiryInterval = seconds

    def pack(self) -> bytes:
        return expiry_property(self.MessageExpiryInterval)


@lru_cache(maxsize=64)
def _expiry_only(seconds: int) -> Properties:
    return _ExpiryOnly(seconds)


def _publish_properties(expiry_s: int | None, answer_to: str, correlation: str) -> Properties | None:
    if not answer_to:
        return None if expiry_s is None else _expiry_only(expiry_s)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # as above
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    properties.ResponseTopic = answer_to
    properties.CorrelationData = correlation.encode()
    return properties


def _connect_properties(queue_max: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # as above
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = min(queue_max, RECEIVE_MAX)
    return properties
