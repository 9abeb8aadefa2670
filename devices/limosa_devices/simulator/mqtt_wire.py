"""As much of MQTT 5 as thousands of simulated devices in one process need: packets to bytes and back.

paho is what devices and servers use, a thread each; here ten thousand share one loop, and what the
simulation costs must not be what is measured. Source: the OASIS standard, 2019, chapters 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

CONNACK, PUBLISH, PUBACK, SUBACK, DISCONNECT = 2, 3, 4, 9, 14
SESSION_EXPIRY: Final = b"\x11"
USER_PROPERTY: Final = 0x26
RECEIVE_MAXIMUM: Final = b"\x21"


@dataclass(frozen=True, slots=True)
class Packet:
    kind: int
    flags: int
    body: bytes


def connect(client: str, *, clean: bool, will: tuple[str, bytes] | None = None) -> bytes:
    """`will`: (topic, payload), retained, QoS 1, sent 30 s after the connection is lost."""
    flags = 0x02 * clean
    fields = b""
    if will is not None:
        flags |= 0x04 | 0x08 | 0x20
        delay = b"\x18" + struct.pack("!I", 30)
        fields = varint(len(delay)) + delay + utf8(will[0]) + _binary(will[1])
    properties = SESSION_EXPIRY + struct.pack("!I", 0 if clean else 3600)
    head = utf8("MQTT") + bytes([5, flags]) + struct.pack("!H", 600)
    return _packet(0x10, head + varint(len(properties)) + properties + utf8(client) + fields)


def subscribe(number: int, topics: Sequence[str]) -> bytes:
    body = struct.pack("!H", number) + b"\x00" + b"".join(utf8(topic) + b"\x01" for topic in topics)
    return _packet(0x82, body)


def publish(
    topic: str,
    payload: bytes,
    *,
    number: int,
    retain: bool = False,
    properties: Sequence[tuple[str, str]] = (),
) -> bytes:
    """QoS 1."""
    users = b"".join(bytes([USER_PROPERTY]) + utf8(name) + utf8(value) for name, value in properties)
    body = utf8(topic) + struct.pack("!H", number) + varint(len(users)) + users + payload
    return _packet(0x32 | retain, body)


def puback(number: int) -> bytes:
    return b"\x40\x02" + struct.pack("!H", number)


def read_publish(packet: Packet) -> tuple[str, bytes, int]:
    """(topic, payload, its number; 0 for QoS 0)."""
    body = packet.body
    (length,) = struct.unpack_from("!H", body)
    topic, at = body[2 : 2 + length].decode(), 2 + length
    number = 0
    if packet.flags & 0x06:
        (number,) = struct.unpack_from("!H", body, at)
        at += 2
    found = read_varint(body, at)
    if found is None:
        raise ValueError("the properties are cut")
    properties, at = found
    return topic, body[at + properties :], number


def packets(buffer: bytearray) -> Iterator[Packet]:
    """Takes whole packets out of what came so far."""
    while len(buffer) >= 2:
        found = read_varint(buffer, 1)
        if found is None:
            return
        length, at = found
        if len(buffer) < at + length:
            return
        packet = Packet(buffer[0] >> 4, buffer[0] & 0x0F, bytes(buffer[at : at + length]))
        del buffer[: at + length]
        yield packet


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + varint(len(body)) + body


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def read_varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """(number, where what follows begins); None if it is not all there.

    >>> read_varint(varint(321), 0), read_varint(varint(321)[:1], 0)
    ((321, 2), None)
    """
    value = shift = 0
    for place in range(at, len(data)):
        value |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return value, place + 1
        shift += 7
    return None


def utf8(text: str) -> bytes:
    return _binary(text.encode())


def _binary(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data
