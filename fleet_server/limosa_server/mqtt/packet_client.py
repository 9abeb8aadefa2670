"""paho's client, reading and acknowledging many packets at once: a server has thousands of a second."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes

from limosa_server.mqtt.packets import cut, puback
from limosa_server.mqtt.publish_packet import PublishPacket, parse_publish

log = logging.getLogger(__name__)
READ_BYTES: Final = 1 << 17  # of one read
WRITE_BYTES: Final = 1 << 15  # of one queued write: what was not sent of it is copied each time


class PacketClient(mqtt.Client):
    """Reads messages itself, and survives those that cannot be read.

    paho asks the system for every byte of a packet's length, and copies each message several times. It
    also takes U+FEFF in a property, which mosquitto forwards, for a broken packet and ends the
    connection; the message is then delivered again on the next one: a single device would keep the
    server deaf.
    """

    on_packets: Callable[[Sequence[PublishPacket]], None]
    """Called with the PUBLISH packets of one read, in order, in place of paho's `on_message`."""
    _unread: bytes = b""  # the beginning of a packet whose end has not come

    def reconnect(self) -> MQTTErrorCode:
        self._unread = b""
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Takes what is there, however many packets; the loop comes back for the rest."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError as error:
            log.info("nothing can be read from the broker: %s", error)
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = mqtt.time_func()
        try:
            outcome = self._take(data)
        except MalformedPacket as error:
            log.warning("the broker sent what is no packet: %s", error)
            outcome = MQTTErrorCode.MQTT_ERR_PROTOCOL
        return self._loop_rc_handle(outcome) if outcome > 0 else outcome

    def send_packets(self, packets: Sequence[bytes]) -> None:
        """Whole packets to which no answer comes. Without a connection they are lost."""
        some: list[bytes] = []
        size = 0
        for packet in packets:
            some.append(packet)
            size += len(packet)
            if size >= WRITE_BYTES:
                self._queue(some)
                some, size = [], 0
        if some:
            self._queue(some)

    def _queue(self, packets: Sequence[bytes]) -> None:
        if self.is_connected():  # else CONNECT must be the first to go out
            self._packet_queue(PacketTypes.PUBACK << 4, b"".join(packets), 0, 0)

    def _take(self, data: bytes) -> MQTTErrorCode:
        """Raises MalformedPacket."""
        found: list[PublishPacket] = []
        packets, self._unread = cut(self._unread + data if self._unread else data)
        try:
            for first, body in packets:
                if first >> 4 == PacketTypes.PUBLISH:
                    self._read_publish(first, body, found)
                    continue
                outcome = self._handle(first, body)
                if outcome > 0:
                    return outcome
        finally:
            if found:
                self.on_packets(found)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle(self, first: int, body: bytes) -> MQTTErrorCode:
        """Everything but PUBLISH, as paho does it."""
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()

    def _read_publish(self, first: int, body: bytes, found: list[PublishPacket]) -> None:
        """Raises MalformedPacket if it cannot be read, and has no number by which it could be dropped."""
        qos = first >> 1 & 3
        try:
            found.append(parse_publish(body, qos=qos))
        except MalformedPacket as error:
            log.warning("a message that cannot be read was dropped: %s", error)
            if qos:
                self.send_packets([puback(_number(body))])  # or it comes again


def _number(body: bytes) -> int:
    """Raises MalformedPacket."""
    try:
        (length,) = struct.unpack_from("!H", body)
        number: int = struct.unpack_from("!H", body, 2 + length)[0]
    except struct.error as error:
        raise MalformedPacket(str(error)) from error
    return number
